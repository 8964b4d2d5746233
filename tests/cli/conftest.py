"""Photos and masks for the commands to work on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap import edit, images
from tests.helpers import tiny


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four photos of the model's size: p0.png … p3.png."""
    folder = tmp_path_factory.mktemp("photos")
    for index, photo in enumerate(tiny.photos(4)):
        images.save(photo, folder / f"p{index}.png")
    return folder


@pytest.fixture(scope="session")
def mask_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """White in the left half."""
    path = tmp_path_factory.mktemp("mask") / "left.png"
    left = edit.masks.box(tiny.SIZE, 0, 0, 0.5, 1)
    images.save(torch.where(left, 1.0, -1.0).expand(3, -1, -1), path)
    return path


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread: None) -> None:
    """In every test here."""
