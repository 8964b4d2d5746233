"""Mouth: lips, teeth, tongue."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.palettes import BLACK, WHITE, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, smooth
from stylemap.data.raster import Pen, linear, radial, solid


def mouth_corners(a: Attributes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The middle's x, half the width, and the corners' y."""
    half = a.mouth_width * (1 + 0.20 * np.clip(a.smile, 0, 1) - 0.06 * a.mouth_open)
    return 1.9 * a.yaw, half, _line(a) - 2.5 * a.smile


def _line(a: Attributes) -> np.ndarray:
    """y of the line between the lips of a straight mouth."""
    return a.nose_length + 7.6


def draw_mouth(pen: Pen, a: Attributes) -> None:
    """Lips around an opening with teeth and tongue; corners go up with a smile, down with a frown."""
    y = _line(a)
    x, half, corner = mouth_corners(a)
    gape = a.mouth_open * (3.2 + 2.6 * np.clip(a.smile, 0, 1))
    bend = y + 1.5 * a.smile  # middle of the line between the lips
    upper, lower = bend - 0.25 * gape, bend + 0.95 * gape
    thin, full = 1.5 * a.lip_fullness, 2.2 * a.lip_fullness
    lips = Path().move(x, upper - thin * 0.78)
    lips.cubic(
        x + 1.0,
        upper - thin * 1.25,
        x + half * 0.30,
        upper - thin * 1.35,
        x + half * 0.42,
        upper - thin * 1.0,
    )
    lips.cubic(
        x + half * 0.66, (upper + corner) / 2 - thin * 0.7, x + half * 0.85, corner - 0.5, x + half, corner
    )
    lips.cubic(
        x + half * 0.86,
        (lower + corner) / 2 + full * 0.85,
        x + half * 0.5,
        lower + full * 1.05,
        x,
        lower + full,
    )
    dark, lit = shade(a.lip_colour, 0.35), tint(a.lip_colour, 0.10)
    pen.fill(
        lips.mirror(x),
        linear(0, upper - 2, 0, lower + full, (0.1, dark, 1), (0.6, a.lip_colour, 1), (1, lit, 1)),
        part=Part.MOUTH,
    )
    shine_y = lower + full * 0.42
    shine_x, wide, high = x + 1.2 * a.light, half * 0.36, full * 0.3
    shine = radial(shine_x, shine_y, wide, high, (0, WHITE, 0.5), (1, WHITE, 0))
    pen.fill(Path().ellipse(shine_x, shine_y, wide, high), shine)
    rows = np.flatnonzero(a.mouth_open > 0)
    if len(rows):
        picked = (x[rows], half[rows] * 0.9, corner[rows], upper[rows], lower[rows])
        _inside_mouth(pen.take(rows), a.take(rows), *picked)
    line = (
        Path()
        .move(x - half, corner)
        .cubic(x - half * 0.5, upper + 0.15 * (upper - corner), x - half * 0.3, upper, x, upper)
    )
    line.cubic(x + half * 0.3, upper, x + half * 0.5, upper + 0.15 * (upper - corner), x + half, corner)
    pen.stroke(
        line, solid(shade(a.lip_colour, 1.1), 0.9), 0.75, opacity=np.where(a.mouth_open > 0, 0.35, 1.0)
    )
    for s in (-1.0, 1.0):
        dimple = (
            Path()
            .move(x + s * (half + 0.4), corner - 0.9)
            .quad(x + s * (half + 1.2), corner, x + s * (half + 0.5), corner + 0.9)
        )
        pen.stroke(dimple, solid(shade(a.skin, 1.0), 0.6), 0.7, 0.4, opacity=np.clip(a.smile, 0, 1))
    under = y + 5.4 + 1.2 * np.clip(a.smile, 0, 1) + 0.9 * gape
    pen.fill(
        Path().ellipse(x, under, 5.2, 1.5),
        radial(x, under, 5.2, 1.5, (0, shade(a.skin, 0.8), 0.4), (1, a.skin, 0)),
        inside=Slot.HEAD,
    )


def _inside_mouth(
    pen: Pen,
    a: Attributes,
    x: np.ndarray,
    half: np.ndarray,
    corner: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
) -> None:
    opening = Path().move(x, upper)
    opening.cubic(x + half * 0.4, upper, x + half * 0.7, upper + 0.3 * (corner - upper), x + half, corner)
    opening.cubic(
        x + half * 0.82, (corner + lower) / 2 + 0.18 * (lower - corner), x + half * 0.46, lower, x, lower
    )
    pen.fill(opening.mirror(x), solid(np.array([0.32, 0.09, 0.11])), part=Part.MOUTH, store=Slot.MOUTH)
    height = lower - upper
    pen.fill(
        Path().ellipse(x, lower + height * 0.10, half * 0.55, height * 0.42),
        solid(np.array([0.82, 0.38, 0.40])),
        inside=Slot.MOUTH,
    )
    edge = upper + height * 0.34
    top = [(x - half, corner - 1), (x, upper - 1.5), (x + half, corner - 1)]
    teeth = smooth([*top, (x + half * 0.6, edge), (x, upper + height * 0.46), (x - half * 0.6, edge)])
    pen.fill(teeth, solid(np.array([0.98, 0.97, 0.94])), inside=Slot.MOUTH)
    pen.fill(Path().ellipse(x, upper - 0.4, half, height * 0.22), solid(BLACK, 0.14), inside=Slot.MOUTH)
