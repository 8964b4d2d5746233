"""The brush against its formula, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylemap.editor import brush

SIZE = 16
COORDINATE = st.floats(-8, 24, width=32)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=4)


def _coverage(x: float, y: float, points: list[tuple[float, float]], radius: float, hardness: float) -> float:
    """The definition: from the distance to the nearest of the polyline's segments."""
    distance = math.inf
    for (ax, ay), (bx, by) in zip(points, points[1:] if len(points) > 1 else points):
        ex, ey = bx - ax, by - ay
        length = ex * ex + ey * ey
        along = min(1.0, max(0.0, ((x - ax) * ex + (y - ay) * ey) / length)) if length else 0.0
        distance = min(distance, math.hypot(x - ax - along * ex, y - ay - along * ey))
    return min(1.0, max(0.0, (radius + 0.5 - distance) / max(1.0, (1 - hardness) * radius)))


@given(POINTS, st.floats(0.5, 12), st.floats(0, 1), st.booleans())
def test_a_stroke_is_its_formula(
    points: list[tuple[float, float]], radius: float, hardness: float, erase: bool
) -> None:
    mask = np.full((SIZE, SIZE), 255 if erase else 0, np.uint8)
    brush.paint(mask, np.array(points, np.float32), radius, hardness, erase=erase)
    wanted = [
        [round(255 * _coverage(j + 0.5, i + 0.5, points, radius, hardness)) for j in range(SIZE)]
        for i in range(SIZE)
    ]
    drawn = 255 - mask if erase else mask
    assert abs(drawn.astype(int) - wanted).max() <= 1


@given(POINTS, st.floats(0.5, 6))
def test_a_stroke_may_come_in_pieces(points: list[tuple[float, float]], radius: float) -> None:
    whole, pieces = np.zeros((2, SIZE, SIZE), np.uint8)
    xy = np.array(points, np.float32)
    brush.paint(whole, xy, radius, 0.5)
    for start in range(len(xy)):
        brush.paint(pieces, xy[start : start + 2], radius, 0.5)
    # The last piece is the end point alone, which its segment covers already.
    assert (whole == pieces).all()


@pytest.mark.parametrize(("radius", "most"), [(2.0, 2 * 49 + 6 * 12), (16.0, 2 * SIZE * SIZE)])
def test_the_cost_bounds_the_pixels(radius: float, most: float) -> None:
    assert 0 < brush.cost(SIZE, np.array([[8, 8], [9, 8]], np.float32), radius) <= most
