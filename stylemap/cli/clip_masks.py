"""Masks of a video's frames: one for all, a folder with one for each, or a video of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from stylemap import video
from stylemap.cli import common, masks

#: The masks of frame after frame, each bool S x S, given the frame.
FrameMasks = Callable[[Image.Image], Tensor]


def open_masks(text: str, reader: masks.MaskReader, photos: Sequence[Path]) -> FrameMasks:
    """The masks that ``text`` names, taken in the order of the frames.

    A file or shape is read once, and serves every frame; again for each where their crops differ. A mask may
    be as large as one of ``photos``, or as the frames.

    Raises:
        ValueError: while they are taken, where there are fewer masks than frames, or one of another size.
    """
    if Path(text).is_dir():
        return _Files(text, reader, photos)
    if video.is_clip(text):
        return _Film(text, reader)
    fixed: list[Tensor] = []

    def same(frame: Image.Image) -> Tensor:
        if reader.moves or not fixed:
            fixed[:] = [reader.read(text, photos, frame.size)]
        return fixed[0]

    return same


class _Files:
    """A mask for each frame, from the images of a folder."""

    def __init__(self, text: str, reader: masks.MaskReader, photos: Sequence[Path]) -> None:
        self._text, self._reader, self._photos = text, reader, photos
        self._files = common.find([text])
        self._taken = 0

    def __call__(self, frame: Image.Image) -> Tensor:
        if self._taken == len(self._files):
            raise _too_few(self._text, self._taken)
        path = self._files[self._taken]
        self._taken += 1
        return self._reader.read(str(path), self._photos, frame.size)


class _Film:
    """A mask for each frame, from the frames of another video."""

    def __init__(self, text: str, reader: masks.MaskReader) -> None:
        self._text, self._reader = text, reader
        self._frames: Iterator[tuple[Image.Image, float]] = iter(video.Clip(text))
        self._taken = 0

    def __call__(self, frame: Image.Image) -> Tensor:
        found = next(self._frames, None)
        if found is None:
            raise _too_few(self._text, self._taken)
        self._taken += 1
        return self._reader.fitted(found[0].convert("L"), Path(self._text), [], frame.size)


def _too_few(text: str, count: int) -> ValueError:
    return ValueError(f"{text} holds {count} masks, but frame {count + 1} needs one")
