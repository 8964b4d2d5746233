"""Photos for bulk work."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylemap import images
from tests.helpers import tiny


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos and a file that is none: p0.png … p11.png, broken.png."""
    folder = tmp_path_factory.mktemp("photos")
    for index, photo in enumerate(tiny.photos(12)):
        images.save(photo, folder / f"p{index}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG no picture")
    return folder


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread: None) -> None:
    """In every test here."""
