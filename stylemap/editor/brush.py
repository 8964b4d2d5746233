"""The brush: how a stroke becomes pixels of a mask; static/brush.js computes the same bits.

At a distance d from the polyline the coverage is (r + 1/2 − d) / max(1, (1 − h)·r), clamped to [0, 1],
for radius r and hardness h: flat inside h·r, and one pixel of smooth edge at least. Painting takes the
larger of mask and coverage, erasing the smaller of mask and 1 − coverage, so that a stroke may arrive in
any number of pieces.
Only + − · / and √ of doubles are used, which IEEE 754 rounds alike in Python and JavaScript.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def paint(
    mask: NDArray[np.uint8],
    points: NDArray[np.float32],
    radius: float,
    hardness: float,
    *,
    erase: bool = False,
) -> None:
    """Draw a polyline into a mask, in place.

    Args:
        mask: uint8 S×S.
        points: P×2, (x, y) in pixels; the centre of pixel (i, j) lies at (j + 0.5, i + 0.5).
        radius: above 0, in pixels.
        hardness: 0 to 1.
    """
    xy = points.astype(np.float64)
    for a, b in zip(xy, xy[1:] if len(xy) > 1 else xy):
        _segment(mask, a, b, radius, hardness, erase)


def cost(size: int, points: NDArray[np.float32], radius: float) -> float:
    """Pixels that ``paint`` looks at, at most: what rates are limited by."""
    steps = np.abs(np.diff(points.astype(np.float64), axis=0, prepend=points[:1]))
    boxes = np.minimum(steps + 2 * radius + 2, size)
    return float((boxes[:, 0] * boxes[:, 1]).sum())


def _segment(
    mask: NDArray[np.uint8],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    radius: float,
    hardness: float,
    erase: bool,
) -> None:
    size, reach = mask.shape[0], radius + 1
    left, top = (max(0, math.floor(min(a[i], b[i]) - reach)) for i in (0, 1))
    right, bottom = (min(size, math.ceil(max(a[i], b[i]) + reach)) for i in (0, 1))
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float64)[None, :] + 0.5 - a[0]
    y = np.arange(top, bottom, dtype=np.float64)[:, None] + 0.5 - a[1]
    ex, ey = float(b[0] - a[0]), float(b[1] - a[1])
    length = ex * ex + ey * ey
    if length > 0:
        along = np.clip((x * ex + y * ey) / length, 0.0, 1.0)
        x, y = x - along * ex, y - along * ey
    distance = np.sqrt(x * x + y * y)
    coverage = (radius + 0.5 - distance) / max(1.0, (1.0 - hardness) * radius)
    values = np.floor(np.clip(coverage, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    part = mask[top:bottom, left:right]
    if erase:
        np.minimum(part, 255 - values, out=part)
    else:
        np.maximum(part, values, out=part)
