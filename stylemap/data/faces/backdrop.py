"""What is behind the portrait: soft, with few edges."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import BACKDROP_STYLES, Attributes
from stylemap.data.faces.palettes import mix, tint
from stylemap.data.faces.parts import Part
from stylemap.data.path import Path
from stylemap.data.raster import Pen, linear, radial, solid


def draw_backdrop(pen: Pen, a: Attributes) -> None:
    """Fills the frame; ``pen`` draws in hundredths of the image from its top left corner."""
    light, deep = a.backdrop_light, a.backdrop_deep
    x0 = 50 + 42 * a.light
    pen.fill(
        _frame(),
        linear(x0, -4, 100 - x0, 104, (0, light, 1), (1, mix(light, deep, 0.85), 1)),
        part=Part.BACKGROUND,
    )
    styles = (None, _glow, _disc, _bands, _horizon, _bokeh)
    for i, draw in enumerate(styles[: len(BACKDROP_STYLES)]):
        rows = np.flatnonzero(a.backdrop_style == i)
        if draw and len(rows):
            draw(pen.take(rows), a.take(rows))
    pen.fill(_frame(), radial(50, 46, 78, 78, (0.55, a.backdrop_deep, 0), (1, a.backdrop_deep * 0.7, 0.35)))


def _frame() -> Path:
    return Path().move(0, 0).line(100, 0).line(100, 100).line(0, 100).close()


def _glow(pen: Pen, a: Attributes) -> None:
    halo = tint(a.backdrop_light, 0.55)
    pen.fill(_frame(), radial(50 + 14 * a.light, 40, 58, 58, (0, halo, 0.95), (1, halo, 0)))


def _disc(pen: Pen, a: Attributes) -> None:
    radius = 37 + 6 * a.backdrop_phase
    colour = mix(a.backdrop_light, a.backdrop_deep, 0.75)
    bright = tint(a.backdrop_light, 0.35)
    pen.fill(_frame(), solid(bright, 0.6))
    pen.fill(
        Path().ellipse(50, 49, radius),
        linear(30, 12, 70, 88, (0, mix(colour, bright, 0.3), 1), (1, colour, 1)),
    )


def _bands(pen: Pen, a: Attributes) -> None:
    colour = tint(a.backdrop_light, 0.4)
    for i in range(3):
        x = -40 + 52 * i + 26 * a.backdrop_phase
        band = Path().move(x, 0).line(x + 20, 0).line(x + 56, 100).line(x + 36, 100).close()
        pen.fill(band, solid(colour, 0.45))


def _horizon(pen: Pen, a: Attributes) -> None:
    y = 58 + 10 * a.backdrop_phase
    hill = (
        Path()
        .move(0, y + 5 * a.light)
        .cubic(30, y - 9, 68, y + 9, 100, y - 4 * a.light)
        .line(100, 100)
        .line(0, 100)
    )
    pen.fill(
        hill.close(),
        linear(
            0, y - 6, 0, 100, (0, mix(a.backdrop_light, a.backdrop_deep, 0.8), 1), (1, a.backdrop_deep, 1)
        ),
    )


def _bokeh(pen: Pen, a: Attributes) -> None:
    colour = tint(a.backdrop_light, 0.45)
    spots = ((9, 16, 13), (88, 26, 16), (16, 66, 10), (90, 74, 9), (62, 6, 9))
    for i, (x, y, size) in enumerate(spots):
        turn = a.backdrop_phase + 0.2 * i
        wander = 12 * (turn - np.floor(turn)) - 6
        circle = Path().ellipse(x + wander * a.light, y + wander, size)
        pen.fill(
            circle, radial(x + wander * a.light, y + wander, size, size, (0.7, colour, 0.3), (1, colour, 0.5))
        )
