"""The published LMDB layout: reading, writing, resuming, damage."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from stylemap.data import lmdb_writer
from stylemap.data.faces import FacesDataset
from stylemap.data.folder import FolderDataset, find
from stylemap.data.lmdb_store import LmdbDataset, is_store, sizes
from stylemap.data.open import open_dataset
from stylemap.images import ImageError
from tests.helpers import needs

lmdb = needs.package("lmdb")


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "photos"
    here.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(here / f"{number}.png")
    return here


@pytest.fixture
def small_transactions(monkeypatch):
    monkeypatch.setattr(lmdb_writer, "_PER_TRANSACTION", 3)


def entries(path):
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {bytes(key): bytes(value) for key, value in transaction.cursor()}


def test_the_layout_is_the_published_one(folder, tmp_path):
    state = lmdb_writer.write_folder(tmp_path / "x.lmdb", find(folder), [16, 8])
    assert state.written == 12
    found = entries(tmp_path / "x.lmdb")
    assert found.pop(b"length") == b"12"
    assert set(found) == {f"{size}-{index:05d}".encode() for size in (8, 16) for index in range(12)}
    picture = Image.open(io.BytesIO(found[b"16-00003"]))
    assert np.array_equal(np.array(picture), np.array(Image.open(folder / "3.png")))
    assert Image.open(io.BytesIO(found[b"8-00003"])).size == (8, 8)


def test_reads_a_store_written_by_hand(tmp_path):
    with lmdb.open(str(tmp_path / "x"), map_size=1 << 24) as environment, environment.begin(write=True) as t:
        for index, level in enumerate((0, 255)):
            out = io.BytesIO()
            Image.new("RGB", (32, 32), (level,) * 3).save(out, "JPEG", quality=100)
            t.put(f"32-{index:05d}".encode(), out.getvalue())
        t.put(b"length", b"2")
    dataset = LmdbDataset(tmp_path / "x", 32)
    assert len(dataset) == 2
    assert dataset[0].max() == -1
    assert dataset[1].min() == 1


def test_round_trip_is_lossless_and_works_in_workers(folder, tmp_path):
    lmdb_writer.write_folder(tmp_path / "x.lmdb", find(folder), [16], workers=3)
    stored, plain = LmdbDataset(tmp_path / "x.lmdb", 16), FolderDataset(folder, 16)
    stored[0]  # opens the store before the workers start
    loaded = torch.cat(list(DataLoader(stored, batch_size=5, num_workers=2)))
    assert torch.equal(loaded, plain.batch(range(12)))


def test_an_interrupted_write_goes_on(folder, tmp_path, small_transactions):
    target, paths = tmp_path / "x.lmdb", find(folder)

    def stop(positions):
        for position in positions:
            if position == 8:
                raise KeyboardInterrupt
            yield position

    with pytest.raises(KeyboardInterrupt):
        lmdb_writer.write_folder(target, paths, [16], workers=1, progress=stop)
    begun = entries(target)
    assert b"length" not in begun
    with pytest.raises(ValueError, match="unfinished"):
        LmdbDataset(target, 16)

    seen = []

    def watch(positions):
        for position in positions:
            seen.append(position)
            yield position

    state = lmdb_writer.write_folder(target, paths, [16], progress=watch)
    assert 0 < seen[0] == len(begun) - 1  # what was stored is not made again
    assert seen[-1] == 11
    assert state.written == 12
    lmdb_writer.write_folder(tmp_path / "at_once.lmdb", paths, [16])
    assert entries(target) == entries(tmp_path / "at_once.lmdb")


def test_only_the_same_write_is_resumed(folder, tmp_path, small_transactions):
    target, paths = tmp_path / "x.lmdb", find(folder)

    def stop(positions):
        for position in positions:
            if position == 6:
                raise KeyboardInterrupt
            yield position

    with pytest.raises(KeyboardInterrupt):
        lmdb_writer.write_folder(target, paths, [16], workers=1, progress=stop)
    with pytest.raises(ValueError, match="other images or settings"):
        lmdb_writer.write_folder(target, paths[:-1], [16])
    with pytest.raises(ValueError, match="other images or settings"):
        lmdb_writer.write_folder(target, paths, [8])
    lmdb_writer.write_folder(target, paths, [16])
    with pytest.raises(ValueError, match="complete already: it holds 12 images"):
        lmdb_writer.write_folder(target, paths, [16])


def test_damaged_sources(folder, tmp_path, small_transactions):
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"4\.png"):
        lmdb_writer.write_folder(tmp_path / "x.lmdb", find(folder), [16])
    state = lmdb_writer.write_folder(tmp_path / "y.lmdb", find(folder), [16], skip_corrupt=True)
    assert state.written == 11
    assert [name.rpartition("/")[2] for name, _ in state.skipped] == ["4.png"]
    assert len(LmdbDataset(tmp_path / "y.lmdb", 16)) == 11


def test_damaged_entries(folder, tmp_path):
    target = tmp_path / "x.lmdb"
    lmdb_writer.write_folder(target, find(folder), [16])
    with (
        lmdb.open(str(target), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"16-00005", b"rubbish")
        transaction.delete(b"16-00007")
    dataset = LmdbDataset(target, 16)
    with pytest.raises(ImageError, match="16-00005"):
        dataset[5]
    with pytest.raises(ImageError, match="16-00007 is missing"):
        dataset[7]
    kept = LmdbDataset(target, 16, skip_corrupt=True)
    assert len(kept) == 10
    assert [key for key, _ in kept.skipped] == ["16-00005", "16-00007"]
    assert kept.batch(range(10)).isfinite().all()


def test_the_map_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "_FIRST_MAP", 1 << 16)
    state = lmdb_writer.write_faces(tmp_path / "x.lmdb", 40, 3, [48])
    assert state.written == 40
    stored = LmdbDataset(tmp_path / "x.lmdb", 48)
    assert torch.equal(stored.batch(range(40)), FacesDataset(48, 40, 3).batch(range(40)))


def test_wrong_places_and_sizes(folder, tmp_path):
    target = tmp_path / "x.lmdb"
    lmdb_writer.write_folder(target, find(folder), [16, 8])
    with pytest.raises(ValueError, match="no images of size 32; sizes there: 8, 16"):
        LmdbDataset(target, 32)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LmdbDataset(tmp_path / "nowhere", 16)
    with lmdb.open(str(tmp_path / "other"), map_size=1 << 20) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"key", b"value")
        assert sizes(environment) == []
    with pytest.raises(ValueError, match="published layout"):
        LmdbDataset(tmp_path / "other", 16)
    with pytest.raises(ValueError, match="something else"):
        lmdb_writer.write_folder(tmp_path / "other", find(folder), [16])
    with pytest.raises(ValueError, match="sizes"):
        lmdb_writer.write_folder(tmp_path / "z", find(folder), [16, 16])
    with pytest.raises(ValueError, match="format"):
        lmdb_writer.write_folder(tmp_path / "z", find(folder), [16], format="gif")
    assert is_store(target)
    assert not is_store(folder)
    assert isinstance(open_dataset(str(target), 16), LmdbDataset)


def test_without_the_package_the_message_says_what_to_install(tmp_path, folder, monkeypatch):
    lmdb_writer.write_folder(tmp_path / "x.lmdb", find(folder), [16])
    monkeypatch.setitem(sys.modules, "lmdb", None)  # makes the import fail
    with pytest.raises(ImportError, match=r"pip install 'stylemap\[data\]'"):
        LmdbDataset(tmp_path / "x.lmdb", 16)
