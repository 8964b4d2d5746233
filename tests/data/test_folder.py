"""Folders of images: order, fitting, damaged files."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap.data.faces import FacesDataset
from stylemap.data.folder import FolderDataset
from stylemap.data.open import open_dataset
from stylemap.images import ImageError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in (1, 2, 10):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photo{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "masks" / "photo1.png")
    return tmp_path


def damage(folder):
    whole = (folder / "photo2.png").read_bytes()
    (folder / "photo2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "photo3.png").write_bytes(b"no image at all")


def test_files_come_in_natural_order_without_sub_folders(folder):
    dataset = FolderDataset(folder, 16)
    assert [path.name for path in dataset.paths] == ["photo1.png", "photo2.png", "photo10.png"]
    pixels = np.array(Image.open(folder / "photo10.png"))
    assert torch.equal(dataset[2], torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1)
    assert dataset.batch([0, 2]).shape == (2, 3, 16, 16)


def test_sub_folders_are_taken_on_request(folder):
    names = [str(path.relative_to(folder)) for path in FolderDataset(folder, 16, recursive=True).paths]
    assert names == ["photo1.png", "photo2.png", "photo10.png", "masks/photo1.png"]


def test_images_are_fitted(folder):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(folder / "photo2.png")
    item = FolderDataset(folder, 8)[1]
    assert item.shape == (3, 8, 8)
    assert item[0].min() == 1
    assert item[1].max() == -1


def test_a_damaged_file_is_an_error_that_names_it(folder):
    damage(folder)
    dataset = FolderDataset(folder, 16)
    with pytest.raises(ImageError, match=r"photo2\.png"):
        dataset[1]
    with pytest.raises(ImageError, match=r"photo3\.png"):
        dataset[2]


def test_damaged_files_are_skipped_and_reported_on_request(folder, caplog):
    damage(folder)
    with caplog.at_level(logging.WARNING):
        dataset = FolderDataset(folder, 16, skip_corrupt=True)
    assert [path.name for path in dataset.paths] == ["photo1.png", "photo10.png"]
    assert [path.name for path, _ in dataset.skipped] == ["photo2.png", "photo3.png"]
    assert "photo2.png" in caplog.text
    assert dataset.batch([0, 1]).isfinite().all()


def test_no_folder_no_images_nothing_readable(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        FolderDataset(tmp_path / "nowhere", 16)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImageError, match="holds no images"):
        FolderDataset(empty, 16)
    (empty / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="no readable image"):
        FolderDataset(empty, 16, skip_corrupt=True)


def test_datasets_by_name(folder):
    assert isinstance(open_dataset(str(folder), 16), FolderDataset)
    assert len(open_dataset("builtin:faces", 16, count=5)) == 5
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_dataset("nowhere", 16)


def test_a_folder_named_faces_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_dataset("faces", 16, count=5), FacesDataset)
    picture = Image.new("RGB", (16, 16))
    (tmp_path / "faces").mkdir()
    picture.save(tmp_path / "faces" / "a.png")
    assert isinstance(open_dataset("faces", 16, count=5), FolderDataset)
    assert isinstance(open_dataset("builtin:faces", 16, count=5), FacesDataset)


def test_the_sub_folders_of_an_empty_folder_are_named(tmp_path: Path) -> None:
    for name in ("anna", "ben", "empty"):
        (tmp_path / name).mkdir()
    for name in ("anna", "ben"):
        Image.new("RGB", (16, 16)).save(tmp_path / name / "a.png")
    with pytest.raises(ImageError, match=r"holds no images \(.*\); its sub-folders anna, ben do"):
        FolderDataset(tmp_path, 16)
    with pytest.raises(ImageError, match=r"holds no images \([^;]*\)$"):
        FolderDataset(tmp_path / "empty", 16)
