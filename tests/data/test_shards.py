"""Images in tar files: here, by glob, and by URL."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylemap import images
from stylemap.data.blobs import write_tar
from stylemap.data.folder import FolderDataset
from stylemap.data.open import open_dataset
from stylemap.data.shards import ShardDataset
from stylemap.train.batches import Batches, Share
from stylemap.train.sources import open_source
from tests.helpers import needs, tiny
from tests.train import tiny_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos, and the same in three tar files as WebDataset has them."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "photos").mkdir()
    for number, photo in enumerate(tiny.photos(12)):
        images.save(photo, folder / "photos" / f"{number:03d}.png")
    for shard in range(3):
        with tarfile.open(folder / f"faces-{shard:06d}.tar", "w") as tar:
            for number in range(4 * shard, 4 * shard + 4):
                tar.add(folder / "photos" / f"{number:03d}.png", f"{number:03d}.png")
                note = tarfile.TarInfo(f"{number:03d}.cls")
                note.size = 1
                tar.addfile(note, io.BytesIO(b"7"))
    return folder


def test_they_are_the_images_of_a_folder(folder: Path) -> None:
    expected = FolderDataset(folder / "photos", 32).raw(range(12))
    for source in (folder, folder / "faces-*.tar"):
        found = open_dataset(str(source), 32)
        assert isinstance(found, ShardDataset)
        assert torch.equal(found.raw(range(12)), expected)
    assert torch.equal(open_dataset(str(folder / "faces-000001.tar"), 32).raw([2]), expected[6:7])
    assert isinstance(open_dataset(str(folder / "photos"), 32), FolderDataset)
    copy = pickle.loads(pickle.dumps(found))  # as a worker of a DataLoader gets it
    assert torch.equal(copy.raw([11, 0]), expected[[11, 0]])


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_urls(folder: Path, protocol: str) -> None:
    fsspec = needs.package("fsspec")
    source = f"file://{folder}"
    if protocol == "memory":
        source = "memory://shards"
        for tar in folder.glob("*.tar"):
            with fsspec.open(f"{source}/{tar.name}", "wb") as file:
                file.write(tar.read_bytes())
    expected = FolderDataset(folder / "photos", 32).raw(range(12))
    for url in (source, f"{source}/faces-*.tar"):
        assert torch.equal(open_dataset(url, 32).raw(range(12)), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_resumes_exactly(folder: Path, workers: int) -> None:
    """The batches of a resumed run are the rest of those of the whole one, and those of the folder."""

    def batches(data: Path, start: int, workers: int) -> list[Tensor]:
        config = tiny_run.config(data=str(data), workers=workers)
        found = Batches(open_source(config), config, tiny_run.CPU, Share(), start)
        return [part.images for parts in found for part in parts]

    whole = batches(folder / "faces-*.tar", 0, workers)
    assert len(whole) == 6
    for again, expected in zip(batches(folder / "faces-*.tar", 3, workers), whole[3:], strict=True):
        assert torch.equal(again, expected)
    for again, expected in zip(batches(folder / "photos", 0, 0), whole, strict=True):
        assert torch.equal(again, expected)


def test_damage(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(folder / "photos" / "000.png", "000.png")
        bad = tarfile.TarInfo("001.png")
        bad.size = 4
        tar.addfile(bad, io.BytesIO(b"none"))
    with pytest.raises(images.ImageError, match=r"bad\.tar#001\.png is not a picture"):
        ShardDataset(str(path), 32).raw([1])
    good = ShardDataset(str(path), 32, skip_corrupt=True)
    assert len(good) == 1
    assert "bad.tar#001.png" in good.skipped[0][1]
    path.write_bytes(b"no tar")
    with pytest.raises(ValueError, match="is no tar file"):
        ShardDataset(str(path), 32)
    with tarfile.open(path, "w") as tar:
        pass
    with pytest.raises(images.ImageError, match="hold no images"):
        ShardDataset(str(path), 32)
    with pytest.raises(FileNotFoundError, match=r"no tar file at .*nowhere"):
        ShardDataset(str(tmp_path / "nowhere-*.tar"), 32)


@pytest.mark.parametrize("beside", [True, False], ids=["cls files", "folders"])
def test_classes(tmp_path: Path, beside: bool) -> None:
    data, names = {}, ["cat", "dog", "cat", "owl"]
    for number, name in enumerate(names):
        buffer = io.BytesIO()
        Image.fromarray(np.full((40, 40, 3), 50 * number, np.uint8)).save(buffer, "PNG")
        where = f"{number:03}" if beside else f"{name}/{number:03}"
        data[f"{where}.png"] = buffer.getvalue()
        if beside:
            data[f"{where}.cls"] = name.encode() + b"\n"
    write_tar(tmp_path / "a.tar", data)
    config = tiny_run.config(data=str(tmp_path / "a.tar"), classes=3)
    source = open_source(config)
    assert source.names == ("cat", "dog", "owl")
    images, classes = source.batch([3, 0, 1, 2])
    assert classes is not None
    assert classes.tolist() == [2, 0, 1, 0]
    assert images[:, 0, 0, 0].tolist() == [150, 0, 50, 100]
    with pytest.raises(ValueError, match=r"must have 2 classes.*they have cat, dog, owl"):
        open_source(tiny_run.config(data=str(tmp_path / "a.tar"), classes=2))
    write_tar(tmp_path / "b.tar", {"plain.png": data[next(iter(data))]})
    with pytest.raises(ValueError, match="images without one"):
        open_source(tiny_run.config(data=str(tmp_path / "*.tar"), classes=3))


def test_hidden_members_are_left_alone(folder: Path, tmp_path: Path) -> None:
    """macOS writes a file of notes beside each, ._NAME, which is no picture."""
    with tarfile.open(tmp_path / "mac.tar", "w") as tar:
        for name in ("._000.png", "000.png", "__MACOSX/._000.png", "./faces/001.png", ".cache/002.png"):
            if name.endswith("._000.png"):
                tar.addfile(tarfile.TarInfo(name))
            else:
                tar.add(folder / "photos" / "000.png", name)
    assert len(open_dataset(str(tmp_path / "mac.tar"), 32)) == 2
