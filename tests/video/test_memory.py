"""Files of 1,000 frames are written and read one frame at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemap import video
from stylemap.video import pages
from tests.helpers import needs

SIDE, COUNT = 96, 1000
STATM = Path("/proc/self/statm")
pytestmark = pytest.mark.skipif(not STATM.exists(), reason="the memory is read from /proc")


def _frames() -> Iterator[Image.Image]:
    """A square that moves over a ground of 50 colours: every frame differs from the last in most rows."""
    ground = np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 4 * 4
    for index in range(COUNT):
        plane = np.roll(ground, index % SIDE, 1).astype(np.uint8)
        yield Image.fromarray(np.stack([plane, plane, 255 - plane], -1))


def _resident() -> float:
    """MB of this process."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _rises(memory: list[float]) -> int:
    """How often it grew in the second half. What keeps every frame grows with most of them; a large process
    that runs other tests, too, takes a piece now and then.
    """
    half = memory[len(memory) // 2 :]
    return sum(after > before for before, after in pairwise(half))


def _watched(memory: list[float]) -> Iterator[Image.Image]:
    for frame in _frames():
        memory.append(_resident())
        yield frame


@pytest.mark.parametrize("kind", ["gif", "tiff"])
def test_writing_is_flat(tmp_path: Path, kind: str) -> None:
    """One byte for every pixel of every frame, as a GIF holds it, would be 9 MB."""
    memory: list[float] = []
    with open(tmp_path / f"x.{kind}", "w+b") as file:
        if kind == "gif":
            pages.write_gif(file, _watched(memory), [40] * COUNT)
        else:
            pages.write_tiff(file, _watched(memory))
    assert len(memory) == COUNT
    assert _rises(memory) < COUNT // 10
    with Image.open(tmp_path / f"x.{kind}") as found:
        assert found.n_frames == COUNT  # type: ignore[attr-defined]


def test_reading_a_gif_is_flat(tmp_path: Path) -> None:
    needs.package("av")
    writer = video.open_writer(tmp_path / "x.gif", 25)
    for frame in _frames():
        writer.add(frame)
    writer.finish()
    memory = [_resident() for _ in video.Clip(tmp_path / "x.gif")]
    assert len(memory) == COUNT
    assert _rises(memory) < COUNT // 10
