"""Frames of a video file, one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from stylemap.files import check_file, kind_of
from stylemap.images import ImageError
from stylemap.optional import require

#: What `Clip` reads, by suffix.
CLIP_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")


def pyav() -> ModuleType:
    """PyAV. Raises ImportError, which says how to install it."""
    module: ModuleType = require("av", "a video")
    return module


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a video, by its suffix, and no folder; a GIF of one frame is a photo."""
    suffix = Path(path).suffix.lower()
    return suffix in CLIP_SUFFIXES and not Path(path).is_dir() and not (suffix == ".gif" and _is_still(path))


def _is_still(path: str | os.PathLike[str]) -> bool:
    if kind_of(path):
        return False
    try:
        with Image.open(path, formats=("GIF",)) as picture:
            return not getattr(picture, "is_animated", False)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return False  # whoever reads it says what is wrong


def opened(path: Path) -> Any:
    """A container that is read. Errors as those of `Clip`."""
    av = pyav()
    check_file(path)
    with open(path, "rb"):  # a missing file is an OSError that names it
        pass
    try:
        return av.open(str(path))
    except av.error.FFmpegError as error:
        raise ImageError(f"{path} is not a video: {error.strerror}") from error


class Clip:
    """The frames of a video file, upright; each pass over it decodes them anew, one in memory at a time.

    rate: frames a second, on average. count: frames, an estimate; 0 where the file does not say.
    start: time of the first frame in the file, in seconds.

    Raises:
        ImageError: no video, or damaged; the message names the file.
        OSError: it is missing or may not be read.
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with opened(self.path) as container:
            if not container.streams.video:
                raise ImageError(f"{self.path} holds no pictures")
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or stream.guessed_rate or Fraction(25))
            seconds = float(container.duration or 0) / pyav().time_base
            self.count = int(stream.frames) or round(seconds * self.rate)
            self.start = float((stream.start_time or 0) * (stream.time_base or 0))

    def __iter__(self) -> Iterator[tuple[Image.Image, float]]:
        """RGB frames, and their times in seconds after `start`."""
        av = pyav()
        index = 0
        with opened(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                for frame in container.decode(stream):
                    at = index / self.rate if frame.time is None else frame.time - self.start
                    picture: Image.Image = frame.to_image()
                    if frame.rotation % 360:  # as the file says it has to be turned to be upright
                        picture = picture.rotate(frame.rotation, expand=True)
                    yield picture, max(0.0, at)
                    index += 1
            except av.error.FFmpegError as error:
                raise ImageError(f"{self.path} is damaged after {index} frames: {error.strerror}") from error
        if index == 0:
            raise ImageError(f"{self.path} holds no frame")
