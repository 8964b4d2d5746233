"""Files of an edit for people to keep: animations, videos and the contact sheet."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from stylemap import video
from stylemap.editor import photos
from stylemap.sheets import PALETTE, Tile, contact_sheet, overlay

VIDEOS = ("mp4", "webm")
_ENDS_MS = 400  # how long the two ends of an animation are shown at least


def side_by_side(frames: list[Image.Image]) -> Image.Image:
    """All frames in a row."""
    side = frames[0].width
    strip = Image.new("RGB", (side * len(frames), side))
    for index, frame in enumerate(frames):
        strip.paste(frame, (index * side, 0))
    return strip


def strip(frames: list[Image.Image]) -> bytes:
    """A PNG of all frames side by side."""
    return photos.png(side_by_side(frames))


def gif(frames: list[Image.Image], milliseconds: int) -> bytes:
    """There and back again, for ever; the two ends are held a little longer."""
    there_and_back, lengths = _there_and_back(frames, milliseconds)
    # One palette for all frames, made from all of them: palettes of their own make an animation flicker.
    sheet = Image.open(io.BytesIO(strip(frames))).quantize(256, dither=Image.Dither.NONE)
    shown = [frame.quantize(palette=sheet, dither=Image.Dither.FLOYDSTEINBERG) for frame in there_and_back]
    buffer = io.BytesIO()
    shown[0].save(
        buffer, "GIF", save_all=True, append_images=shown[1:], duration=lengths, loop=0, optimize=False
    )
    return buffer.getvalue()


def film(frames: list[Image.Image], milliseconds: int, kind: str) -> bytes:
    """The same as a video, there and back once; kind: of `VIDEOS`.

    Raises:
        ImportError: PyAV is not installed.
    """
    there_and_back, lengths = _there_and_back(frames, milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{kind}")
        writer = video.open_writer(path, 1000 / milliseconds)
        at = 0
        for frame, length in zip(there_and_back, lengths):
            writer.add(frame, at / 1000)
            at += length
        writer.finish()
        return path.read_bytes()


def sheet(
    original: Image.Image,
    decoded: Image.Image,
    references: list[tuple[Image.Image, Tensor]],
    asked: Tensor | None,
    result: Image.Image,
) -> bytes:
    """The contact sheet of an edit as PNG.

    references: pictures with their masks S×S. asked: S×S, where the edit goes; None for everywhere.
    """
    tiles, columns = [Tile(original), Tile(decoded)], ["original", "decoded"]
    for index, (picture, mask) in enumerate(references):
        tiles.append(Tile(overlay(picture, [mask], [PALETTE[index % len(PALETTE)]])))
        columns.append(f"reference {index + 1}" if len(references) > 1 else "reference")
    if asked is not None:
        tiles.append(Tile(overlay(original, [asked])))
        columns.append("mask")
    return photos.png(contact_sheet([[*tiles, Tile(result)]], title="Edit", columns=[*columns, "result"]))


def _there_and_back(frames: list[Image.Image], milliseconds: int) -> tuple[list[Image.Image], list[int]]:
    """Frames, and how long each is shown: the two ends a little longer."""
    shown = [*frames, *frames[-2:0:-1]]
    lengths = [milliseconds] * len(shown)
    lengths[0] = lengths[len(frames) - 1] = max(milliseconds, _ENDS_MS)
    return shown, lengths
