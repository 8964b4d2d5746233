"""Masks on the command line: an image file, ``box:…`` or ``ellipse:…``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylemap import edit, images

HELP = (
    "where the reference is wanted: an image (white is on), box:x0,y0,x1,y1 or ellipse:cx,cy,rx,ry, in "
    "fractions of the image, or in pixels of the model's image where a number is above 1"
)


def read_mask(text: str, size: int, photos: Sequence[Path], fit: images.Fit = "crop") -> Tensor:
    """bool size x size from what the user wrote.

    A file must be size x size already, or as large as one of ``photos``: then it is fitted as they are.

    Raises:
        ValueError: numbers that make no shape, or a file of another size; the message names both sizes.
    """
    shape, _, numbers = text.partition(":")
    if shape in ("box", "ellipse") and numbers:
        return _drawn(shape, numbers, size, text)
    return _from_file(Path(text), size, photos, fit)


def read_union(texts: Sequence[str], size: int, photos: Sequence[Path], fit: images.Fit = "crop") -> Tensor:
    """Where any of several masks is on."""
    return edit.union([read_mask(text, size, photos, fit) for text in texts])


def _drawn(shape: str, numbers: str, size: int, text: str) -> Tensor:
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != 4:
        raise ValueError(f"mask {text!r}: expected four numbers, as in box:0.2,0.3,0.8,0.6")
    if max(values) > 1:
        values = [value / size for value in values]
    draw = edit.masks.box if shape == "box" else edit.masks.ellipse
    try:
        return draw(size, *values)
    except ValueError as error:
        raise ValueError(f"mask {text!r}: {error}") from error


def _from_file(path: Path, size: int, photos: Sequence[Path], fit: images.Fit) -> Tensor:
    return images.to_tensor(square(images.open_grey(path), path, size, photos, fit))[0] > torch.tensor(0.0)


def square(
    picture: Image.Image,
    path: Path,
    size: int,
    photos: Sequence[Path],
    fit: images.Fit,
    *,
    what: str = "mask",
    border: int = 0,
) -> Image.Image:
    """A grey picture as size x size, fitted as ``photos`` are where it is as large as one of them.

    what: the word for it in errors. border: what "pad" adds around it.

    Raises:
        ValueError: another size; the message names both.
    """
    if picture.size == (size, size):
        return picture
    sizes = {photo: images.upright_size(photo) for photo in photos}
    if picture.size not in sizes.values():
        others = "".join(f", or {w} x {h} as {photo.name}" for photo, (w, h) in sizes.items())
        raise ValueError(
            f"{what} {path} is {picture.width} x {picture.height}; "
            f"it must be {size} x {size} as the model's images{others}"
        )
    return images.fit_square(picture, size, fit, border)
