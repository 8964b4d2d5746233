"""What all datasets share: batches, order, mirroring, indices."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stylemap.data.protocol import ImageDataset, shuffled
from stylemap.data.streams import Streams


class Numbered(ImageDataset):
    """Image i is grey with value i at the left and 255 − i at the right."""

    def __init__(self, count, **options):
        super().__init__(4, **options)
        self.count = count

    def __len__(self):
        return self.count

    def raw(self, indices):
        left = torch.tensor(list(indices), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 2)
        return torch.cat([left, 255 - left], dim=3)


def values(batch):
    return ((batch[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_items_are_floats_in_minus_one_to_one():
    item = Numbered(10)[3]
    assert item.dtype == torch.float32
    assert item[0, 0, 0] == 3 / 127.5 - 1
    assert torch.equal(Numbered(10)[-7], item)


def test_an_epoch_holds_every_image_once_and_epochs_differ():
    batches = list(islice(shuffled(20, 5, seed=1), 8))
    first, second = ([i for b, _ in batches[start : start + 4] for i in b] for start in (0, 4))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert [epoch for _, epoch in batches] == [0] * 4 + [1] * 4
    assert [b for b, _ in islice(shuffled(20, 5, seed=2), 4)] != [b for b, _ in batches[:4]]


def test_batches_continue_where_an_earlier_run_stopped():
    dataset = Numbered(23, flip=True, seed=4)
    whole = list(islice(dataset.batches(5, seed=9), 11))
    rest = list(islice(dataset.batches(5, seed=9, start=6), 5))
    assert all(torch.equal(a, b) for a, b in zip(whole[6:], rest, strict=True))
    with pytest.raises(ValueError, match="at least as many"):
        next(dataset.batches(24))


def test_mirroring_is_a_function_of_seed_epoch_and_index():
    dataset = Numbered(100, flip=True, seed=4)
    rows = list(range(100))
    mirrored = dataset.mirrored(rows)
    assert 30 < mirrored.sum() < 70
    assert np.array_equal(mirrored[[5, 60]], dataset.mirrored([5, 60]))
    assert (mirrored != dataset.mirrored(rows, epoch=1)).any()
    dataset.set_epoch(1)
    assert np.array_equal(dataset.mirrored(rows), Numbered(100, flip=True, seed=4).mirrored(rows, epoch=1))
    expected = np.where(dataset.mirrored(rows), 255 - np.arange(100), np.arange(100))
    assert values(dataset.batch(rows)) == expected.tolist()


def test_a_data_loader_gives_the_same_images_with_any_number_of_workers():
    dataset = Numbered(12, flip=True, seed=1)
    plain = torch.cat(list(DataLoader(dataset, batch_size=4)))
    workers = torch.cat(list(DataLoader(dataset, batch_size=4, num_workers=2)))
    assert torch.equal(plain, workers)


def test_streams_are_uniform_and_independent():
    streams = Streams(3, np.arange(20000))
    a, b = streams.unit("a"), streams.unit("b")
    assert abs(a.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.02
    shares = np.bincount(streams.choice("c", np.array([1.0, 0, 3])), minlength=3) / 20000
    assert shares == pytest.approx([0.25, 0, 0.75], abs=0.015)


def test_streams_do_not_change():
    """Values that every machine must give: the faces are drawn from them."""
    expected = [0.11110352054811201, 0.8061228775405699, 0.9100034044644048]
    assert Streams(7, np.array([0, 1, 2**31])).unit("smile").tolist() == expected
