"""Pixels of a photo to a square of any size and angle, and values of a square back to the photo's pixels.

Shrinking filters before it samples (Lanczos), so that nothing aliases; enlarging and turning sample by
bicubic convolution. Both are Pillow's. Coordinates go from the upper left corner of the first pixel.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from stylemap.photo.crop import Crop

_TURNED = 1e-3  # degrees: less turns no pixel of the largest photo
_FADE = 0.1  # of the side: over this distance from the border a reflection becomes blurred
_BLUR = 0.02  # of the side: the deviation of that blur
_LARGEST = 8  # sides of the photo: a larger crop would be reflections of reflections
_ENLARGED = 8
_TAPS = 2  # pixels that bicubic convolution reads on either side


def cut(pixels: Image.Image, crop: Crop, size: int) -> Image.Image:
    """The crop of an RGB photo as size x size.

    What lies outside the photo is its reflection, blurred more the farther out it is, so that the border
    shows neither an edge nor a pattern (the padding of arXiv 1710.10196, appendix C: mirrored, then blurred).

    Raises:
        ValueError: a crop that has no pixel of the photo, or one many times larger than it.
    """
    _check(pixels.size, crop)
    left, top, right, bottom = crop.bounds()
    upright = abs(crop.angle) < _TURNED
    if upright and min(left, top) >= 0 and right <= pixels.width and bottom <= pixels.height:
        return _shrunk(pixels, crop, size)
    # Turning works at twice the resolution of the result, or at the photo's own where that is lower.
    region, moved = _region(pixels, crop, min(1.0, 2 * size / crop.side))
    if upright:
        return _shrunk(region, moved, size)
    side = size if moved.side <= size else 2 * size
    coefficients, planes = _from_square(moved, side), []
    for band in region.split():
        # As numbers with a fraction: Pillow's bicubic convolution rounds those of 8 bits down.
        plane = band.convert("F").transform(
            (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
        )
        planes.append(plane if side == size else plane.resize((size, size), Image.Resampling.LANCZOS))
    values = np.stack([np.asarray(plane) for plane in planes], 2)
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


def _shrunk(pixels: Image.Image, crop: Crop, size: int) -> Image.Image:
    """An upright crop inside a picture, by Lanczos alone."""
    # More than 3 x its support goes through an exact box reduction first.
    return pixels.resize((size, size), Image.Resampling.LANCZOS, box=crop.bounds(), reducing_gap=3.0)


def spread(values: np.ndarray, crop: Crop, box: tuple[int, int, int, int]) -> np.ndarray:
    """Values of a square where the pixels of a photo lie in it: the inverse of `cut`.

    Args:
        values: float32 size x size x channels.
        box: left, top, right, bottom: which pixels of the photo.

    Returns float32 height x width x channels, 0 outside the square.
    """
    size = values.shape[0]
    left, top, right, bottom = box
    # Towards the photo's resolution along the square's own axes, where Lanczos draws edges without steps;
    # what remains, the turn and a factor of nearly 1, is bicubic convolution's.
    side = size * min(_ENLARGED, max(1, round(crop.side / size)))
    if crop.side < size:
        side = max(1, math.ceil(crop.side))
    coefficients = _to_square(crop, side, (left, top))
    planes = []
    for channel in np.moveaxis(values.astype(np.float32), 2, 0):
        plane = Image.fromarray(np.ascontiguousarray(channel))
        if side != size:
            plane = plane.resize((side, side), Image.Resampling.LANCZOS)
        found = plane.transform(
            (right - left, bottom - top), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
        )
        planes.append(np.asarray(found))
    return np.stack(planes, 2)


def pixel_box(size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """The pixels of a photo around a crop: left, top, right, bottom, within its width and height ``size``.

    Raises:
        ValueError: there is none.
    """
    _check(size, crop)
    left, top, right, bottom = crop.bounds()
    return (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(size[0], math.ceil(right)),
        min(size[1], math.ceil(bottom)),
    )


def _check(size: tuple[int, int], crop: Crop) -> None:
    left, top, right, bottom = crop.bounds()
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        raise ValueError(
            f"the crop at {crop.centre[0]:.0f},{crop.centre[1]:.0f} of side {crop.side:.0f} has no pixel of "
            f"the photo, which is {size[0]} x {size[1]}"
        )
    if crop.side > _LARGEST * max(size):
        raise ValueError(
            f"the crop's side of {crop.side:.0f} is more than {_LARGEST} times the photo, which is "
            f"{size[0]} x {size[1]}"
        )


def _region(pixels: Image.Image, crop: Crop, scale: float) -> tuple[Image.Image, Crop]:
    """The pixels around a crop, scaled and padded by reflection, and the crop in their coordinates."""
    low = np.floor(np.array(crop.bounds()[:2]) - (_TAPS + 1) / scale).astype(int)
    high = np.ceil(np.array(crop.bounds()[2:]) + (_TAPS + 1) / scale).astype(int)
    left, top = (int(v) for v in np.maximum(low, 0))
    right, bottom = (int(v) for v in np.minimum(high, pixels.size))
    part = pixels.crop((left, top, right, bottom))
    if scale < 1:
        # One factor for both axes: the last row and column are short of a whole pixel, not squeezed.
        width, height = (max(1, math.ceil(length * scale)) for length in part.size)
        box = (0, 0, width / scale, height / scale)
        part = _grown(part, box[2], box[3]).resize(
            (width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0
        )
    before = [max(0, math.ceil(-v * scale)) for v in low]
    after = [max(0, math.ceil((v - s) * scale)) for v, s in zip(high, pixels.size)]
    padded = _reflected(part, before, after, crop.side * scale)
    moved = Crop(
        (
            (crop.centre[0] - left) * scale + before[0],
            (crop.centre[1] - top) * scale + before[1],
        ),
        crop.side * scale,
        crop.angle,
    )
    return padded, moved


def _grown(part: Image.Image, width: float, height: float) -> Image.Image:
    """The picture, its last column and row repeated until it has that size: less than one scaled pixel."""
    right, bottom = math.ceil(width) - part.width, math.ceil(height) - part.height
    if right <= 0 and bottom <= 0:
        return part
    values = np.pad(np.asarray(part), ((0, max(0, bottom)), (0, max(0, right)), (0, 0)), mode="edge")
    return Image.fromarray(values)


def _reflected(part: Image.Image, before: list[int], after: list[int], side: float) -> Image.Image:
    """The picture with a border of so many pixels left and top, right and bottom; its own pixels stay."""
    if not any((*before, *after)):
        return part
    pads = ((before[1], after[1]), (before[0], after[0]))
    padded = np.pad(np.asarray(part), (*pads, (0, 0)), mode="symmetric")
    blurred = Image.fromarray(padded).filter(ImageFilter.GaussianBlur(_BLUR * side))
    rows, columns = (
        np.maximum(np.maximum(first - np.arange(total), np.arange(total) - (total - 1 - last)), 0)
        for (first, last), total in zip(pads, padded.shape)
    )
    distance = np.hypot(rows[:, None], columns[None, :])
    weight = np.clip(distance / (_FADE * side), 0, 1)[..., None]
    mixed = padded + weight * (np.asarray(blurred, dtype=np.float64) - padded)
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def _from_square(crop: Crop, side: int) -> tuple[float, float, float, float, float, float]:
    """Pillow's coefficients of the map from pixels of a square of ``side`` pixels to those of the photo."""
    linear = crop.axes * crop.side / side
    origin = crop.to_photo(np.zeros((1, 2)))[0]
    return (*map(float, (*linear[0], origin[0])), *map(float, (*linear[1], origin[1])))  # type: ignore[return-value]


def _to_square(
    crop: Crop, side: int, origin: tuple[int, int]
) -> tuple[float, float, float, float, float, float]:
    """The inverse, for pixels of the photo counted from ``origin``."""
    linear = crop.axes.T * side / crop.side
    first = crop.to_square(np.array([origin], dtype=np.float64))[0] * side
    return (*map(float, (*linear[0], first[0])), *map(float, (*linear[1], first[1])))  # type: ignore[return-value]
