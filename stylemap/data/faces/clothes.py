"""What is worn on the body. Coordinates: the eyes at height 0, the picture ends near 51."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import CLOTHES_STYLES, Attributes
from stylemap.data.faces.brush import each_style
from stylemap.data.faces.head import neck_half
from stylemap.data.faces.palettes import dim, mix, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, Values
from stylemap.data.raster import Paint, Pen, linear, solid


def draw_clothes(pen: Pen, a: Attributes) -> None:
    """Draw the clothes over the neck and body."""
    each_style(pen, a, a.clothes_style, CLOTHES_STYLES, _STYLES)


def draw_clothes_behind(pen: Pen, a: Attributes) -> None:
    """What shows behind the neck: the hood."""
    each_style(pen, a, a.clothes_style, CLOTHES_STYLES, {"hoodie": _hood_behind})


def _cloth(a: Attributes, colour: np.ndarray) -> Paint:
    x = 34 * a.light
    return linear(x, 34, -x, 56, (0, tint(colour, 0.16), 1), (0.5, colour, 1), (1, dim(colour, 0.42), 1))


def _torso(a: Attributes, depth: Values, rise: Values = 34.0, pointed: bool = False) -> Path:
    """Shoulders; the neckline goes down to ``depth`` in the middle and up to ``rise`` beside the neck."""
    n = neck_half(a) + 0.7
    path = Path().move(0, depth)
    if pointed:
        path.line(n + 1.0, rise)
    else:
        path.cubic(n * 0.6, depth, n + 0.6, depth - 3.6, n + 1.0, rise)
    path.cubic(n + 5, rise + 4, 23, rise + 4.4, 31, rise + 8.4).cubic(
        37, rise + 11.6, 40, rise + 18, 41, 66
    ).line(0, 66)
    return path.mirror(0.0)


def _body(pen: Pen, a: Attributes, path: Path, colour: np.ndarray) -> None:
    pen.fill(path.shift(0, -1.0), solid(dim(a.skin, 0.6), 0.4), inside=Slot.NECK)
    pen.fill(path, _cloth(a, colour), part=Part.CLOTHES, store=Slot.BODY)
    for s in (-1.0, 1.0):
        fold = Path().move(s * 27, 47).quad(s * 25.5, 51, s * 26.5, 58)
        pen.stroke(fold, solid(dim(colour, 0.8), 0.4), 1.0, 1.8, feather=1.2, inside=Slot.BODY)


def _crew(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    _body(pen, a, _torso(a, 41.0), a.clothes)
    rim = (
        Path()
        .move(-n - 1.2, 34.6)
        .cubic(-n - 0.6, 38.4, -n * 0.6, 41.8, 0, 41.8)
        .cubic(n * 0.6, 41.8, n + 0.6, 38.4, n + 1.2, 34.6)
    )
    pen.stroke(rim, solid(dim(a.clothes, 0.42)), 2.0, inside=Slot.BODY)


def _v_neck(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    under = Path().move(-n - 2, 38).line(n + 2, 38).line(n, 60).line(-n, 60).close()
    pen.fill(under, _cloth(a, mix(a.clothes_second, tint(a.clothes_second, 1.0), 0.5)), part=Part.CLOTHES)
    _body(pen, a, _torso(a, 52.0, 33.4, pointed=True), a.clothes)
    rim = Path().move(-n - 0.8, 34.2).line(0, 53).line(n + 0.8, 34.2)
    pen.stroke(rim, solid(dim(a.clothes, 0.5)), 2.2, inside=Slot.BODY)


def _shirt(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    light = tint(a.clothes, 0.55)
    _body(pen, a, _torso(a, 45.0, 33.0, pointed=True), light)
    pen.stroke(Path().move(0, 45).line(0, 60), solid(dim(light, 0.5), 0.7), 0.8, inside=Slot.BODY)
    for s in (-1.0, 1.0):
        flap = (
            Path()
            .move(s * (n - 0.4), 30.6)
            .cubic(s * (n + 2.4), 32, s * (n + 3.6), 34.5, s * (n + 3.4), 37.5)
        )
        flap.line(s * 6.2, 48).cubic(s * 3.4, 46.8, s * 1.2, 45.6, 0, 44).cubic(
            s * 4, 41.5, s * (n - 2), 37, s * (n - 0.4), 30.6
        ).close()
        pen.fill(flap.shift(0, 1.0), solid(dim(light, 0.7), 0.45), inside=Slot.BODY)
        pen.fill(flap, _cloth(a, tint(light, 0.25)), part=Part.CLOTHES)
    pen.fill(Path().ellipse(0, 49.5, 0.9), solid(dim(light, 0.6)))


def _hood_behind(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    hood = Path().move(0, 20).cubic(n + 6, 20, n + 12, 28, n + 11, 42).line(0, 46).mirror(0.0)
    pen.fill(hood, solid(dim(a.clothes, 0.75)), part=Part.CLOTHES)


def _hoodie(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    _body(pen, a, _torso(a, 46.0, 35.0), a.clothes)
    for s in (-1.0, 1.0):
        roll = Path().move(s * (n - 0.4), 29).cubic(s * (n + 5.5), 28, s * (n + 9), 34, s * (n + 5.5), 40)
        roll.cubic(s * (n + 1), 46.5, s * 5, 49, 0, 49.6).line(0, 45.4).cubic(
            s * 5, 44.6, s * (n - 1), 40, s * (n - 0.4), 29
        ).close()
        pen.fill(roll.shift(0, 1.2), solid(dim(a.clothes, 0.9), 0.4), inside=Slot.BODY)
        pen.fill(roll, _cloth(a, tint(a.clothes, 0.10)), part=Part.CLOTHES)
        cord = Path().move(s * 4.6, 48).quad(s * 5.2, 52, s * 4.8, 58)
        pen.stroke(cord, solid(tint(a.clothes_second, 0.75)), 1.0, inside=Slot.BODY)


def _turtleneck(pen: Pen, a: Attributes) -> None:
    n = neck_half(a) + 0.7
    _body(pen, a, _torso(a, 38.0, 33.0), a.clothes)
    collar = Path().move(0, 32.0).cubic(n * 0.6, 32.0, n - 0.4, 30.8, n - 0.2, 28.6).line(n + 2.2, 38)
    collar.cubic(n + 1, 40.6, n * 0.6, 42.4, 0, 42.4)
    pen.fill(collar.mirror(0.0).shift(0, 1.2), solid(dim(a.clothes, 0.8), 0.5), inside=Slot.BODY)
    pen.fill(collar, _cloth(a, a.clothes), part=Part.CLOTHES, store=Slot.BODY)
    fold = (
        Path()
        .move(-n - 2, 34.4)
        .cubic(-n, 36.6, -n * 0.6, 37.8, 0, 37.8)
        .cubic(n * 0.6, 37.8, n, 36.6, n + 2, 34.4)
    )
    pen.stroke(fold, solid(dim(a.clothes, 0.7), 0.55), 1.1, feather=0.6, inside=Slot.BODY)
    # The chin's shadow falls on the collar as it does on a bare neck.
    shadow = Path().ellipse(-2.2 * a.light, a.face_length - 8, a.face_width * 0.78, 15.5)
    pen.fill(shadow, solid(dim(a.clothes, 1.0), 0.5), inside=Slot.BODY)


_STYLES = {"crew": _crew, "v_neck": _v_neck, "shirt": _shirt, "hoodie": _hoodie, "turtleneck": _turtleneck}
