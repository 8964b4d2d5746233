"""Frames out: as a video, an animation, or the pages of a TIFF."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from PIL import Image

from stylemap.files import kind_of, make_folder, write_whole
from stylemap.images import ImageError
from stylemap.video import pages
from stylemap.video.reading import pyav
from stylemap.video.sound import Sound

# Container and codec.
_CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
# Quality at which the difference is hard to see; libvpx at its usual speed takes seconds a frame.
_OPTIONS = {
    "libx264": {"crf": "17"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"},
}
_ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
VIDEO_SUFFIXES = tuple(_CONTAINERS)
#: Files of several frames that `open_writer` writes.
MOVING_SUFFIXES = (*_ANIMATIONS, *_CONTAINERS)
RATE = 12.0
_TICKS = 90_000  # a second, in the time base of what is written


class Writer(Protocol):
    """Takes frames one by one; the file is there, whole, once `finish` has returned."""

    def add(self, frame: Image.Image, at: float | None = None) -> None:
        """The next frame, of the size of the first; ``at``: its time in seconds, by default by the rate."""

    def finish(self) -> None:
        """Write the file."""


def open_writer(
    path: str | os.PathLike[str],
    rate: float = RATE,
    *,
    audio: str | os.PathLike[str] | None = None,
    audio_start: float = 0.0,
) -> Writer:
    """A writer of the kind that the suffix names.

    Args:
        path: ends in one of `MOVING_SUFFIXES`.
        rate: frames a second, where they bring no time of their own.
        audio: a file whose sound a video gets: copied where its container takes it, else encoded anew.
        audio_start: the time in it, in seconds, at which the first frame is shown.

    Raises:
        ImageError: another suffix, or a rate that is not above 0.
        ImportError: a video without PyAV.
        OSError: naming ``path``, when its folder cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if not 0 < rate <= 1000:
        raise ImageError(f"frames a second must be above 0 and at most 1000, got {rate:g}")
    if suffix in _ANIMATIONS:
        return _Animation(Path(path), rate)
    if suffix not in _CONTAINERS:
        raise ImageError(f"cannot write {path}: a moving picture ends in {', '.join(MOVING_SUFFIXES)}")
    return _Video(Path(path), rate, None if audio is None else Path(audio), audio_start)


class _Scratch:
    """A file without a name, which goes with the process, in the folder of what it will become.

    Errors of writing, such as a full disk, name that: PyAV passes on what its file raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def write(self, data: bytes) -> int:
        with self._named():
            return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._named():  # what waits in memory is written first
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        with self._named():
            self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(f"cannot write {self._path}: {error.strerror or error}") from error


class _Spooled:
    """Frames that wait in a `_Scratch`, or become a video there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            make_folder(path.parent)
            if kind := kind_of(path):
                raise FileExistsError(None, f"it is {kind}")
            self.file = _Scratch(path)
        except OSError as error:
            raise type(error)(f"cannot write {path}: {error.strerror or error}") from error
        self.size: tuple[int, int] = (0, 0)
        self.count = 0

    def checked(self, frame: Image.Image) -> Image.Image:
        if self.count and frame.size != self.size:
            (w, h), (x, y) = self.size, frame.size
            raise ImageError(f"cannot write {self.path}: its frames are {w} x {h}, the next is {x} x {y}")
        self.size = frame.size
        self.count += 1
        return frame.convert("RGB")

    def check_some(self) -> None:
        if not self.count:
            raise ImageError(f"cannot write {self.path}: there is no frame")


class _Animation(_Spooled):
    """GIF, WebP, or a TIFF of several pages; frames wait as raw pixels on the disk."""

    def __init__(self, path: Path, rate: float) -> None:
        super().__init__(path)
        self._rate = rate
        self._times: list[float] = []

    def add(self, frame: Image.Image, at: float | None = None) -> None:
        self._times.append(self.count / self._rate if at is None else at)
        self.file.write(self.checked(frame).tobytes())

    def finish(self) -> None:
        self.check_some()
        self.file.seek(0)
        frames = self._frames()
        kind = _ANIMATIONS[self.path.suffix.lower()]
        with write_whole(self.path) as file:
            if kind == "GIF":
                pages.write_gif(file, frames, self._durations())
            elif kind == "TIFF":
                pages.write_tiff(file, frames)
            else:  # libwebp keeps what it has compressed until the last frame
                options: dict[str, Any] = {"duration": self._durations(), "loop": 0, "quality": 95}
                next(frames).save(file, kind, save_all=True, append_images=frames, **options)
        self.file.close()

    def _frames(self) -> Iterator[Image.Image]:
        width, height = self.size
        for _ in range(self.count):
            yield Image.frombytes("RGB", self.size, self.file.read(3 * width * height))

    def _durations(self) -> list[int]:
        """Of every frame in milliseconds; the last is shown as long as one of the usual rate."""
        ends = [*self._times[1:], self._times[-1] + 1 / self._rate]
        return [max(1, round(1000 * end) - round(1000 * begin)) for begin, end in zip(self._times, ends)]


class _Video(_Spooled):
    """A video, encoded as the frames come, with the sound of another file."""

    def __init__(self, path: Path, rate: float, audio: Path | None, audio_start: float) -> None:
        self._av = pyav()
        super().__init__(path)
        self._rate, self._audio, self._audio_start = rate, audio, audio_start
        self._container: Any = None
        self._stream: Any = None
        self._sound: Sound | None = None

    def add(self, frame: Image.Image, at: float | None = None) -> None:
        seconds = self.count / self._rate if at is None else at
        pixels = _even(np.asarray(self.checked(frame)))
        if self._container is None:
            self._open(pixels.shape[1], pixels.shape[0])
        one = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        one.time_base, one.pts = Fraction(1, _TICKS), round(seconds * _TICKS)
        self._encode(one)
        if self._sound is not None:
            self._sound.until(seconds)

    def finish(self) -> None:
        self.check_some()
        self._encode(None)
        if self._sound is not None:
            self._sound.close()
        self._container.close()
        self.file.seek(0)
        with write_whole(self.path) as file:
            shutil.copyfileobj(self.file, file)
        self.file.close()

    def _open(self, width: int, height: int) -> None:
        kind, codec = _CONTAINERS[self.path.suffix.lower()]
        self._container = self._av.open(self.file, "w", format=kind)
        rate = Fraction(self._rate).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate, options=_OPTIONS[codec])
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        if self._audio is not None:
            self._sound = Sound(self._container, self._audio, self._audio_start)

    def _encode(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


def _even(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pixels of an even width and height, as colours of half the resolution want it: the edge is repeated."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)
