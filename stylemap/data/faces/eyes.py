"""Eyes and brows."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.palettes import WHITE, dim, mix, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path
from stylemap.data.raster import Pen, linear, radial, solid

_INK = np.array([0.16, 0.10, 0.11])


def draw_eyes(pen: Pen, a: Attributes) -> None:
    """Draw both eyes: white, iris, lids and lashes."""
    for side in (-1.0, 1.0):
        _eye(pen, a, side)


def _eye(pen: Pen, a: Attributes, side: float) -> None:
    x, s = side * a.eye_spacing + 1.5 * a.yaw, side
    half = a.eye_size * (1 - 0.07 * side * a.yaw)
    up = half * (0.34 + 0.40 * a.eye_open)
    squeeze = np.clip(a.smile, 0, 1) * (0.25 + 0.75 * (a.mouth_open > 0))
    down = half * (0.50 - 0.20 * squeeze)
    inner, outer = (x - s * half, 0.5 + 0 * x), (x + s * half, -a.eye_tilt)
    opening = (
        Path().move(*inner).cubic(x - s * half * 0.62, -up * 1.16, x + s * half * 0.55, -up * 1.22, *outer)
    )
    opening.cubic(x + s * half * 0.62, down * 1.18, x - s * half * 0.5, down * 1.26, *inner).close()
    sclera = linear(
        0, -up, 0, down * 0.6, (0, np.array([0.80, 0.80, 0.84]), 1), (0.7, np.array([0.985, 0.98, 0.97]), 1)
    )
    pen.fill(opening, sclera, part=Part.EYES, store=Slot.EYE)
    _iris(pen, a, x + 1.15 * a.gaze_x, -0.25 + 0.5 * a.gaze_y, half * 0.60)
    brow_shadow = (
        Path().move(*inner).cubic(x - s * half * 0.6, -up * 0.75, x + s * half * 0.55, -up * 0.75, *outer)
    )
    brow_shadow.line(x + s * half, -up * 1.6).line(x - s * half, -up * 1.6).close()
    pen.fill(brow_shadow, solid(_INK, 0.30), inside=Slot.EYE)
    _lids(pen, a, side, x, half, up, down)


def _iris(pen: Pen, a: Attributes, x: np.ndarray, y: np.ndarray, r: np.ndarray) -> None:
    rim = dim(a.iris, 0.75)
    ring = radial(x, y, r, r, (0.35, tint(a.iris, 0.12), 1), (0.72, a.iris, 1), (1, rim, 1))
    pen.fill(Path().ellipse(x, y, r), ring, inside=Slot.EYE)
    glow = radial(x, y + 0.55 * r, 0.62 * r, 0.5 * r, (0, tint(a.iris, 0.6), 0.75), (1, a.iris, 0))
    pen.fill(Path().ellipse(x, y + 0.55 * r, 0.62 * r, 0.5 * r), glow, inside=Slot.EYE)
    pen.fill(Path().ellipse(x, y, 0.46 * r), solid(np.array([0.06, 0.05, 0.06])), inside=Slot.EYE)
    light = x + 0.34 * r * a.light
    pen.fill(Path().ellipse(light, y - 0.36 * r, 0.27 * r), solid(WHITE, 0.95), inside=Slot.EYE)
    pen.fill(Path().ellipse(2 * x - light, y + 0.42 * r, 0.13 * r), solid(WHITE, 0.6), inside=Slot.EYE)


def _lids(
    pen: Pen, a: Attributes, side: float, x: np.ndarray, half: np.ndarray, up: np.ndarray, down: np.ndarray
) -> None:
    """Upper lid line, thicker outwards and winged by lashes; crease; lower lid."""
    s, thick = side, 0.75 + 0.85 * a.lashes
    wing_x, wing_y = x + s * (half + 0.5 + 1.5 * a.lashes), -a.eye_tilt - 0.5 - 1.7 * a.lashes
    lid = Path().move(x - s * (half + 0.3), 0.8)
    lid.cubic(
        x - s * half * 0.66, -up * 1.16 - thick, x + s * half * 0.56, -up * 1.24 - thick, wing_x, wing_y
    )
    lid.cubic(
        x + s * half * 0.95,
        -a.eye_tilt + 0.5,
        x + s * half * 0.9,
        0.2 - a.eye_tilt,
        x + s * half,
        -a.eye_tilt,
    )
    lid.cubic(x + s * half * 0.55, -up * 1.22, x - s * half * 0.62, -up * 1.16, x - s * half, 0.5).close()
    pen.fill(lid, solid(mix(_INK, a.skin, 0.06)), part=Part.EYES)
    crease = Path().move(x - s * half * 0.86, -up * 0.66 - 1.3)
    crease.cubic(
        x - s * half * 0.5,
        -up * 1.2 - 1.9,
        x + s * half * 0.5,
        -up * 1.28 - 1.9,
        x + s * half * 1.0,
        -a.eye_tilt - up * 0.45 - 1.6,
    )
    pen.stroke(crease, solid(shade(a.skin, 1.0), 0.55), 0.45, 0.75)
    lower = Path().move(x + s * half * 0.96, -a.eye_tilt + 0.4)
    lower.cubic(
        x + s * half * 0.6,
        down * 1.2,
        x - s * half * 0.3,
        down * 1.28,
        x - s * half * 0.72,
        down * 0.42 + 0.3,
    )
    pen.stroke(lower, solid(shade(a.skin, 1.0), 0.7), 0.7, 0.3)


def draw_brows(pen: Pen, a: Attributes) -> None:
    """Draw both brows."""
    colour = mix(mix(a.hair, np.array([0.26, 0.17, 0.13]), 0.45), shade(a.skin, 1.0), 0.12)
    for s in (-1.0, 1.0):
        x, half, thick = s * a.eye_spacing + 1.5 * a.yaw, a.eye_size * 1.16, a.brow_thickness
        y = -a.eye_size * 0.78 - 3.6 - a.brow_raise
        inner_y = y + 0.9 + 1.7 * a.brow_slant
        peak_y = y - 1.1 - 0.3 * a.brow_slant
        outer_y = y + 1.5 - 0.9 * a.brow_slant
        brow = Path().move(x - s * half * 0.94, inner_y + thick * 0.35)
        brow.cubic(
            x - s * half * 1.06,
            inner_y,
            x - s * half * 1.0,
            inner_y - thick * 0.55,
            x - s * half * 0.8,
            inner_y - thick * 0.6,
        )
        brow.cubic(
            x - s * half * 0.2,
            peak_y - thick * 0.72,
            x + s * half * 0.6,
            peak_y - thick * 0.75,
            x + s * half * 1.12,
            outer_y,
        )
        brow.cubic(
            x + s * half * 0.5,
            peak_y + thick * 0.22,
            x - s * half * 0.1,
            peak_y + thick * 0.55,
            x - s * half * 0.94,
            inner_y + thick * 0.35,
        )
        pen.fill(brow.close(), solid(colour), part=Part.BROWS)
