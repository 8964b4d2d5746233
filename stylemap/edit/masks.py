"""Masks: S x S pixels, reduced to the L x L cells of a stylemap or the r x r cells of a stylecode.

A value above 0.5 is on. Local editing (paper section 3.3) reduces by max pooling: a cell is on where any of
its pixels is on. The interactive blend (the paper's demo) reduces by average pooling: a cell is on where more
than half of its area is on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.inputs import MaskLike, mask_tensor

KINDS = ("box", "ellipse")
_SHAPE = re.compile(r"(box|ellipse):.+|[a-zA-Z]{2,}:[-+.,\d]+")  # a drive and a path are no shape


def as_mask(
    mask: MaskLike, size: int, device: torch.device | str | None = None, name: str = "mask"
) -> Tensor:
    """Coverage in [0, 1]: float32 N x 1 x size x size.

    Args:
        mask: a tensor size x size, 1 x size x size, or N x 1 x size x size: bool; an integer type, where
            every value above 0 is on; or floating point, clamped to [0, 1]. Or a picture of any size (see
            `stylemap.inputs.MaskLike`), cropped and resized as photos are; or a text, see `drawn`.
        size: the side expected.
        name: of the argument, for errors.

    Raises:
        TypeError: something else.
        ValueError: any other shape; the message names both sizes.
    """
    mask = drawn(mask, size) if is_shape(mask) else mask_tensor(mask, size, name=name)
    shape = tuple(mask.shape)
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[None]
    if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != (size, size):
        raise ValueError(
            f"{name} must be {size} x {size} or N x 1 x {size} x {size}, as the model's images; "
            f"got {' x '.join(map(str, shape))}"
        )
    mask = mask.to(device)
    if not mask.is_floating_point():
        mask = mask > 0
    return mask.to(torch.float32).clamp(0, 1)


def mask_over(mask: MaskLike, cells: int, device: torch.device | str | None = None) -> Tensor:
    """As `as_mask`, for a mask over ``cells`` x ``cells`` cells or over pixels, a multiple of that.

    A picture of another side is resized to the next multiple; the text of a shape is drawn on 32 x ``cells``.
    """
    given = drawn(mask, 32 * cells) if is_shape(mask) else mask_tensor(mask, None, cells)
    return as_mask(given, given.shape[-1] if given.ndim else 1, device)


def pool_max(mask: Tensor, side: int) -> Tensor:
    """N x 1 x S x S to bool N x 1 x side x side: on where any pixel of the cell is > 0.5."""
    return F.max_pool2d(mask, _factor(mask, side)) > 0.5


def pool_average(mask: Tensor, side: int) -> Tensor:
    """N x 1 x S x S to bool N x 1 x side x side: on where the mean over the cell is > 0.5."""
    return F.avg_pool2d(mask, _factor(mask, side)) > 0.5


def shift_in_cells(shift: tuple[float, float], factor: int) -> tuple[int, int]:
    """(dx, dy) in pixels to whole cells of ``factor`` pixels, truncated toward zero."""
    dx, dy = shift
    return int(dx / factor), int(dy / factor)


def union(masks: Sequence[Tensor]) -> Tensor:
    """Where any of the masks is on (> 0.5): bool, of their broadcast shape.

    Editing a part uses the union of the original's and the reference's mask of that part.

    Raises:
        ValueError: no mask, or shapes that do not broadcast; the message names them.
    """
    if not masks:
        raise ValueError("union needs at least one mask")
    result = masks[0] > 0.5
    for mask in masks[1:]:
        if mask.shape[-2:] != result.shape[-2:]:
            raise ValueError(f"masks must have one size, got {tuple(result.shape)} and {tuple(mask.shape)}")
        result = result | (mask > 0.5)
    return result


def box(size: int, x0: float, y0: float, x1: float, y1: float) -> Tensor:
    """bool size x size: the pixels whose centre lies in [x0, x1) x [y0, y1), in fractions of the image.

    Raises:
        ValueError: an empty box or one that leaves the image.
    """
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError(
            f"box needs 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, got {x0:g},{y0:g},{x1:g},{y1:g}"
        )
    centre = _pixel_centres(size)
    columns = (centre >= x0) & (centre < x1)
    rows = (centre >= y0) & (centre < y1)
    return rows[:, None] & columns[None, :]


def ellipse(size: int, cx: float, cy: float, rx: float, ry: float) -> Tensor:
    """bool size x size: the pixels whose centre lies in an axis-parallel ellipse, in fractions of the image.

    Raises:
        ValueError: a centre outside the image or a radius that is not positive.
    """
    if not (0 <= cx <= 1 and 0 <= cy <= 1 and rx > 0 and ry > 0):
        raise ValueError(
            f"ellipse needs its centre inside the image and radii above 0, got {cx:g},{cy:g},{rx:g},{ry:g}"
        )
    centre = _pixel_centres(size)
    x = (centre - cx) / rx
    y = (centre - cy) / ry
    return y.square()[:, None] + x.square()[None, :] <= 1


def is_shape(mask: object) -> TypeGuard[str]:
    """Whether a mask is written as ``kind:numbers`` and no file has that name."""
    return isinstance(mask, str) and bool(_SHAPE.fullmatch(mask)) and not Path(mask).exists()


def drawn(text: str, size: int) -> Tensor:
    """bool size x size of a text box:x0,y0,x1,y1 or ellipse:cx,cy,rx,ry.

    Numbers are fractions of the image, or pixels where one of them is above 1.

    Raises:
        ValueError: another kind, other numbers, or a shape that `box` or `ellipse` refuses.
    """
    kind, _, numbers = text.partition(":")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"the kinds are {' and '.join(KINDS)}"
        raise ValueError(f"mask {text!r}: no file, and no kind of mask is called {kind!r}; {hint}")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != 4:
        raise ValueError(f"mask {text!r}: expected four numbers, as in box:0.2,0.3,0.8,0.6")
    if max(values) > 1:
        values = [value / size for value in values]
    try:
        return box(size, *values) if kind == "box" else ellipse(size, *values)
    except ValueError as error:
        raise ValueError(f"mask {text!r}: {error}") from error


def _pixel_centres(size: int) -> Tensor:
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def _factor(mask: Tensor, side: int) -> int:
    size = mask.shape[-1]
    if side < 1 or size % side:
        raise ValueError(f"a mask of {size} x {size} does not divide into {side} x {side} cells")
    return size // side


__all__ = [
    "KINDS",
    "as_mask",
    "box",
    "drawn",
    "ellipse",
    "is_shape",
    "mask_over",
    "pool_average",
    "pool_max",
    "shift_in_cells",
    "union",
]


def __dir__() -> list[str]:
    return __all__
