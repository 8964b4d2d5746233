"""Which images, flips and z an iteration gets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap.train.batches import Batches, Schedule, Share
from stylemap.train.sources import Source, open_source
from stylemap.train.step import Part
from tests.train import tiny_run

WHOLE = Share()


def parts_of(share: Share = WHOLE, start: int = 0, **changes: object) -> list[list[Part]]:
    config = tiny_run.config(**changes)
    return list(Batches(open_source(config), config, tiny_run.CPU, share, start))


def test_every_epoch_holds_every_image_once_in_a_new_order() -> None:
    schedule = Schedule(tiny_run.config(batch=8), 24)
    epochs = [[i for n in range(3 * e, 3 * e + 3) for i, _ in schedule(n)] for e in range(3)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_follow_on_within_a_batch() -> None:
    schedule = Schedule(tiny_run.config(batch=8), 20)
    seen = [i for n in range(5) for i, _ in schedule(n)]
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))


def test_about_half_is_mirrored() -> None:
    schedule = Schedule(tiny_run.config(batch=8), 24)
    flips = [flip for n in range(200) for _, flip in schedule(n)]
    assert 0.45 < sum(flips) / len(flips) < 0.55
    assert not any(flip for _, flip in Schedule(tiny_run.config(flip=False), 24)(0))


def test_mirrored_images_are_mirrored() -> None:
    plain = parts_of(flip=False)[0][0].images
    flipped = parts_of()[0][0].images
    mirrored = torch.tensor([flip for _, flip in Schedule(tiny_run.config(), 24)(0)])
    assert bool(mirrored.any())
    assert not bool(mirrored.all())
    assert torch.equal(flipped[mirrored], plain[mirrored].flip(3))
    assert torch.equal(flipped[~mirrored], plain[~mirrored])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_later_start_continues(workers: int) -> None:
    whole, rest = parts_of(workers=workers), parts_of(start=4, workers=workers)
    assert (len(whole), len(rest)) == (6, 2)
    for a, b in zip(whole[4:], rest, strict=True):
        assert torch.equal(a[0].images, b[0].images)
        assert torch.equal(a[0].z, b[0].z)


def test_shares_and_parts_make_up_the_batch() -> None:
    (whole,) = parts_of()[0]
    for field in ("images", "z"):
        for parts in (parts_of(accumulate=2)[0], [parts_of(Share(rank, 2))[0][0] for rank in range(2)]):
            assert torch.equal(joined([getattr(p, field) for p in parts]), getattr(whole, field))


def joined(parts: list[Tensor]) -> Tensor:
    """Part i holds every n-th sample from i on."""
    return torch.stack(parts, 1).flatten(0, 1)


def test_values_and_layout() -> None:
    (part,) = parts_of()[0]
    assert part.images.shape == (8, 3, 16, 16)
    assert part.images.dtype == torch.float32
    assert -1 <= float(part.images.min()) < float(part.images.max()) <= 1
    assert part.images.is_contiguous(memory_format=torch.channels_last)
    assert part.z.shape == (8, 6)
    assert part.labels is None


def test_classes_of_faces() -> None:
    (part,) = parts_of(classes=2, class_label="glasses")[0]
    assert part.labels is not None
    assert part.sample_labels is not None
    source = open_source(tiny_run.config(classes=2, class_label="glasses"))
    assert source.classes is not None
    indices = [i for i, _ in Schedule(tiny_run.config(), 24)(0)]
    assert torch.equal(part.labels, source.classes[indices])
    assert set(part.sample_labels.tolist()) <= {0, 1}
    with pytest.raises(ValueError, match="glasses"):
        open_source(tiny_run.config(classes=2, class_label="wings"))


def test_classes_of_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    from stylemap import images

    root = tmp_path_factory.mktemp("classes")
    for name, value in (("cats", -0.5), ("dogs", 0.5)):
        for number in range(2):
            (root / name).mkdir(exist_ok=True)
            images.save(torch.full((3, 16, 16), value), root / name / f"{number}.png")
    source = open_source(tiny_run.config(data=str(root), classes=2))
    pixels, labels = source.batch(range(4))
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1]
    assert bool((pixels[labels == 0] < 128).all())
    with pytest.raises(ValueError, match="3 sub-folders"):
        open_source(tiny_run.config(data=str(root), classes=3))


def test_batches_that_do_not_divide() -> None:
    source = Source(open_source(tiny_run.config()).images)
    for changes, share in (({"batch": 8}, Share(0, 3)), ({"batch": 12}, Share(0, 2))):
        with pytest.raises(ValueError, match=r"groups of 4|3 processes"):
            Batches(source, tiny_run.config(**changes), tiny_run.CPU, share)
