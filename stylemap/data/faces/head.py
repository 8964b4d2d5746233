"""Head, ears, neck and nose, with the light that falls on them."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import EARS_HIDDEN, HAIR_STYLES, Attributes
from stylemap.data.faces.palettes import WHITE, mix, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, Values, smooth
from stylemap.data.raster import Pen, linear, radial, solid

CROWN = -31.0  # top of the skull above the eyes


def head_outline(a: Attributes, grow: float = 0.0) -> Path:
    """Outline of the head around the point between the eyes, ``grow`` units larger all around."""
    w, length = a.face_width + grow, a.face_length + grow
    jaw_x = w * (0.75 + 0.15 * a.jaw)
    jaw_y = length * 0.60
    lean = (w - jaw_x) * 0.55
    path = Path().move(0, CROWN - grow).cubic(0.58 * w, CROWN - grow, w, -21, w, -3)
    path.cubic(w, 5, jaw_x + lean, jaw_y - 7, jaw_x, jaw_y)
    path.cubic(jaw_x - lean * 1.05, jaw_y + 7.3, 5.5 + 6 * a.chin, length, 0, length)
    return path.mirror(0.0)


def neck_half(a: Attributes) -> Values:
    """Half the width of the neck."""
    return 8.6 + 1.6 * a.jaw + 0.12 * (a.face_width - 24)


def draw_neck(pen: Pen, a: Attributes) -> None:
    """From under the head down into the clothes, in the head's shadow at the top."""
    half = neck_half(a)
    neck = Path().move(-half, 12).line(-half, 33).cubic(-half, 40, -half - 6, 42, -half - 12, 44)
    neck.line(-half - 12, 60).line(0, 60).mirror(0.0)
    dark = shade(a.skin, 0.32)
    pen.fill(
        neck,
        linear(-half * a.light, 30, half * a.light, 34, (0, dark, 1), (1, a.skin, 1)),
        part=Part.NECK,
        store=Slot.NECK,
    )
    chin = a.face_length
    shadow = Path().ellipse(-2.2 * a.light, chin - 8, a.face_width * 0.78, 15.5)
    pen.fill(shadow, solid(shade(a.skin, 0.75), 0.55 + 0.25 * a.contrast), inside=Slot.NECK)


def draw_ears(pen: Pen, a: Attributes) -> None:
    """Where the hair does not hide them."""
    bare = ~np.isin(a.hair_style, [HAIR_STYLES.index(name) for name in EARS_HIDDEN])
    pen, a = pen.take(bare), a.take(bare)
    for side in (-1.0, 1.0):
        size = a.ear_size * (1 - 0.18 * side * a.yaw)
        x, y = side * (a.face_width - 0.2 + 0.9 * size), 4.2
        lit = 0.5 + 0.5 * side * a.light
        skin = mix(shade(a.skin, 0.42), a.skin, lit)
        outer = smooth(
            [
                (x + side * -2.2 * size, y - 5.2 * size), (x + side * 1.4 * size, y - 6.4 * size),
                (x + side * 3.6 * size, y - 3.2 * size), (x + side * 2.8 * size, y + 2.2 * size),
                (x + side * 0.6 * size, y + 6.0 * size), (x + side * -2.2 * size, y + 4.6 * size),
            ]
        )  # fmt: skip
        pen.fill(outer, solid(skin), part=Part.EARS)
        pen.fill(
            Path().ellipse(x + side * 0.5 * size, y - 1.2 * size, 1.7 * size, 3.3 * size),
            solid(shade(a.skin, 0.62), 0.75),
        )
        rows = np.flatnonzero(a.earrings)
        if len(rows):
            _earring(pen.take(rows), x[rows] + side * 0.5, y + 6.4 * size[rows])


def _earring(pen: Pen, x: np.ndarray, y: np.ndarray) -> None:
    gold = np.array([0.93, 0.74, 0.32])
    pen.fill(Path().ellipse(x, y + 0.6, 1.5), solid(gold), part=Part.EARRINGS)
    pen.fill(Path().ellipse(x - 0.4, y + 0.2, 0.55), solid(WHITE, 0.7))


def draw_head(pen: Pen, a: Attributes) -> None:
    """Face without features; stores the head as a clip for what follows."""
    w, length = a.face_width, a.face_length
    lit, dark = tint(a.skin, 0.10 + 0.16 * a.contrast), shade(a.skin, 0.18 + 0.34 * a.contrast)
    base = linear(
        w * a.light, -20, -w * a.light, 12, (0, lit, 1), (0.5, a.skin, 1), (1, mix(a.skin, dark, 0.75), 1)
    )
    pen.fill(head_outline(a), base, part=Part.SKIN, store=Slot.HEAD)
    # The face turns away from the light at its far edge and under the jaw.
    form = radial(7 * a.light, -3, w * 1.32, length * 1.34, (0.62, dark, 0), (1, dark, 0.75))
    pen.fill(head_outline(a), form, inside=Slot.HEAD)
    glow = radial(9 * a.light, -15, 17, 12, (0, tint(a.skin, 0.8), 0.5), (1, a.skin, 0))
    pen.fill(
        Path().ellipse(9 * a.light, -15, 17, 12), glow, opacity=0.35 + 0.4 * a.contrast, inside=Slot.HEAD
    )
    _cheeks(pen, a)
    for side in (-1.0, 1.0):
        x = side * a.eye_spacing + 1.4 * a.yaw
        socket = radial(x, -1.5, 9, 7, (0, dark, 0.42), (1, dark, 0))
        pen.fill(Path().ellipse(x, -1.5, 9, 7), socket, inside=Slot.HEAD)


def _cheeks(pen: Pen, a: Attributes) -> None:
    rose = mix(a.skin * np.array([1.04, 0.68, 0.66]), np.array([0.85, 0.30, 0.28]), 0.22)
    lift = 1.2 * np.clip(a.smile, 0, 1)
    for side in (-1.0, 1.0):
        x, y = side * a.face_width * 0.60 + 1.6 * a.yaw, 11.5 - lift
        spot = radial(x, y, 8.0, 6.2, (0, rose, 1), (1, rose, 0))
        pen.fill(Path().ellipse(x, y, 8.0, 6.2), spot, opacity=a.blush, inside=Slot.HEAD)
        rows = np.flatnonzero(a.freckles)
        if len(rows):
            _freckles(pen.take(rows), a.take(rows), x[rows], y[rows], side)


def _freckles(pen: Pen, a: Attributes, x: np.ndarray, y: np.ndarray, side: float) -> None:
    dots = Path()
    for dx, dy in ((-3.2, -1.2), (-0.4, 0.6), (2.6, -0.8), (-2.0, 2.2), (1.4, 2.6)):
        dots.ellipse(x + side * dx, y + dy - 1.5, 0.62)
    pen.fill(dots, solid(shade(a.skin, 0.75), 0.6), inside=Slot.HEAD)


def draw_nose(pen: Pen, a: Attributes) -> None:
    """A lit bridge, a shadow on the far side, a round tip and nostrils."""
    x, n, tip = 2.6 * a.yaw, a.nose_width, a.nose_length
    dark, deep = shade(a.skin, 0.45 + 0.2 * a.contrast), shade(a.skin, 0.95)
    bridge = n * 0.36
    region = Path().move(x, 0.5).cubic(x + bridge, 0.5, x + bridge, 4, x + bridge * 1.1, tip - 5)
    region.cubic(x + n * 0.62, tip - 4.2, x + n, tip - 2.6, x + n * 0.92, tip - 0.4)
    region.cubic(x + n * 0.8, tip + 1.6, x + n * 0.4, tip + 1.9, x, tip + 2.1).mirror(x)
    side = -a.light
    pen.fill(
        region, linear(x - side * n * 0.2, 0, x + side * n, 0, (0, dark, 0), (1, dark, 0.8)), part=Part.NOSE
    )
    under = (
        Path()
        .move(x - n * 0.78, tip - 0.2)
        .cubic(x - n * 0.5, tip + 1.7, x - n * 0.3, tip + 1.1, x, tip + 2.0)
        .mirror(x)
    )
    pen.fill(under, solid(dark, 0.8))
    pen.fill(
        Path()
        .ellipse(x - n * 0.44, tip + 0.35, 0.23 * n, 0.72)
        .ellipse(x + n * 0.44, tip + 0.35, 0.23 * n, 0.72),
        solid(deep, 0.85),
    )
    shine = tint(a.skin, 0.75)
    spot_x, spot_y = x + 0.22 * n * a.light, tip - 2.4
    pen.fill(
        Path().ellipse(spot_x, spot_y, n * 0.5, 2.3),
        radial(spot_x, spot_y, n * 0.5, 2.3, (0, shine, 0.75), (1, shine, 0)),
    )
    line = Path().move(x + 0.3 * a.light, 1.5).line(spot_x, spot_y - 1)
    pen.stroke(line, solid(shine, 0.28), n * 0.34, n * 0.42, feather=1.6)
