"""Mask files: which of their pixels are on, also where they were not written as black and white."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stylemap import images

_Pixels = np.ndarray[Any, Any]


class MaskPicture(NamedTuple):
    """A grey picture, on where above half of 255, and what is unusual about the file; "" for nothing."""

    grey: Image.Image
    note: str


def read(path: Path, *, max_pixels: int = images.MAX_PIXELS) -> MaskPicture:
    """The mask in a file.

    White is on, and where anything is, that is all. Otherwise a file that holds nothing but 0 and 1 (grey or
    palette classes), nothing but 0 and 255 in 16 bits, or one dark colour of varying opacity, is taken as
    what it can only mean, and the note says so.

    Raises:
        ImageError, OSError: as `stylemap.images.load`.
    """
    picture = images.open_upright(path, max_pixels=max_pixels)
    grey = images.grey(picture)
    if np.asarray(grey).max(initial=0) > 127:
        return MaskPicture(grey, "")
    values = _values(picture)
    on, note = _meant(picture, values)
    if on is not None:
        return MaskPicture(Image.fromarray(on.astype(np.uint8) * 255), note)
    low, high = int(values.min()), int(values.max())
    deep = _is_deep(picture)
    limit = "32767 of 65535" if deep else "127 of 255"
    held = f"its values are all {low}" if low == high else f"its values go from {low} to {high}"
    if _opacity(picture) is not None:
        held = "no pixel of it is both opaque and light"
    return MaskPicture(grey, f"selects nothing: {held}; what is above {limit} counts as on")


def _meant(picture: Image.Image, values: _Pixels) -> tuple[_Pixels | None, str]:
    """Where a mask without a light pixel can only mean to be on, and the note; None where that is open."""
    opacity = _opacity(picture)
    if opacity is not None:
        visible = np.asarray(picture.convert("RGB"))[opacity > 127]
        if 0 < len(visible) < opacity.size and (visible == visible[0]).all():
            return opacity > 127, "has one dark colour on transparency: what is opaque counts as on"
        return None, ""
    found = np.unique(values).tolist()
    if found == [0, 1]:
        what = "the palette classes" if picture.mode == "P" else "the values"
        return values == 1, f"holds {what} 0 and 1: 1 counts as on"
    if found == [0, 255] and _is_deep(picture):
        return values == 255, "holds 0 and 255 in 16 bits: 255 counts as on"
    return None, ""


def _values(picture: Image.Image) -> _Pixels:
    """What the file holds, H x W: palette indices, grey of 8 or 16 bits, or the grey of its colours."""
    if picture.mode in ("P", "L") or _is_deep(picture):
        return np.asarray(picture)
    return np.asarray(picture.convert("L"))


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I") or picture.mode == "F"


def _opacity(picture: Image.Image) -> _Pixels | None:
    """The opacity of every pixel, 0 to 255; None where all are opaque."""
    if "A" not in picture.getbands() and "a" not in picture.getbands() and "transparency" not in picture.info:
        return None
    opacity = np.asarray(picture.convert("RGBA").getchannel("A"))
    return None if bool((opacity == 255).all()) else opacity
