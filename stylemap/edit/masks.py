"""Masks: S x S pixels, reduced to the L x L cells of a stylemap or the r x r cells of a stylecode.

A value above 0.5 is on. Local editing (paper section 3.3) reduces by max pooling: a cell is on where any of
its pixels is on. The interactive blend (the paper's demo) reduces by average pooling: a cell is on where more
than half of its area is on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def as_mask(mask: Tensor, size: int, device: torch.device | str | None = None) -> Tensor:
    """Coverage in [0, 1]: float32 N x 1 x size x size.

    Args:
        mask: size x size, 1 x size x size, or N x 1 x size x size. bool; an integer type, where every
            value above 0 is on; or floating point, clamped to [0, 1].
        size: the side expected.

    Raises:
        ValueError: any other shape; the message names both sizes.
    """
    shape = tuple(mask.shape)
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[None]
    if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != (size, size):
        raise ValueError(
            f"mask must be {size} x {size} or N x 1 x {size} x {size}, as the model's images; "
            f"got {' x '.join(map(str, shape))}"
        )
    mask = mask.to(device)
    if not mask.is_floating_point():
        mask = mask > 0
    return mask.to(torch.float32).clamp(0, 1)


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


def _pixel_centres(size: int) -> Tensor:
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def _factor(mask: Tensor, side: int) -> int:
    size = mask.shape[-1]
    if side < 1 or size % side:
        raise ValueError(f"a mask of {size} x {size} does not divide into {side} x {side} cells")
    return size // side
