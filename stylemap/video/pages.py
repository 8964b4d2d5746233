"""Files of many pictures, written one picture after the other.

Pillow's ``save_all`` gathers all frames of a GIF, and all pages of a TIFF, before it writes the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from PIL import GifImagePlugin, Image, ImageChops
from PIL.TiffImagePlugin import AppendingTiffWriter

Box = tuple[int, int, int, int]


def write_gif(file: IO[bytes], frames: Iterable[Image.Image], milliseconds: Iterable[int]) -> None:
    """RGB frames as an animation that goes on for ever, two frames in memory at a time.

    Each has a palette of its own, and of each but the first only what changed is kept. A frame like the one
    before it lengthens that one.

    milliseconds: how long each frame is shown; GIF counts in hundredths of a second.
    """
    for index, (frame, box, length) in enumerate(_changes(zip(frames, milliseconds))):
        found = frame.crop(box).convert("P", palette=Image.Palette.ADAPTIVE)
        if index == 0:
            header, _ = GifImagePlugin.getheader(found, info={"loop": 0, "duration": length})
            file.write(b"".join(header))
        own = {"include_color_table": True} if index else {}
        file.write(b"".join(GifImagePlugin.getdata(found, box[:2], duration=length, **own)))
    file.write(b";")


def write_tiff(file: IO[bytes], frames: Iterable[Image.Image]) -> None:
    """RGB pages, deflated. file: empty, open for reading and writing."""
    with AppendingTiffWriter(file) as pages:
        for frame in frames:
            frame.save(pages, "TIFF", compression="tiff_deflate")
            pages.newFrame()


def _changes(given: Iterable[tuple[Image.Image, int]]) -> Iterator[tuple[Image.Image, Box, int]]:
    """Frames that differ from the one before, where they do, and how long they are shown."""
    shown: Image.Image | None = None
    box: Box = (0, 0, 0, 0)
    length = 0
    for frame, milliseconds in given:
        # Of the frame that waits, as no more than its length can change now.
        changed = (0, 0, *frame.size) if shown is None else ImageChops.difference(shown, frame).getbbox()
        if changed is None:
            length += milliseconds
            continue
        if shown is not None:
            yield shown, box, length
        shown, box, length = frame, changed, milliseconds
    if shown is not None:
        yield shown, box, length
