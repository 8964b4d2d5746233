"""Beards and moustaches."""

from __future__ import annotations

from stylemap.data.faces.attributes import BEARD_STYLES, Attributes
from stylemap.data.faces.brush import each_style
from stylemap.data.faces.palettes import dim, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, Values
from stylemap.data.raster import Pen, linear, solid


def draw_beard(pen: Pen, a: Attributes) -> None:
    """Drawn under the mouth."""
    each_style(pen, a, a.beard_style, BEARD_STYLES, {"goatee": _goatee, "short": _stubble, "full": _full})


def draw_moustache(pen: Pen, a: Attributes) -> None:
    """Drawn over the upper lip."""
    each_style(
        pen, a, a.beard_style, BEARD_STYLES, dict.fromkeys(("moustache", "goatee", "full"), _moustache)
    )


def _paint_beard(pen: Pen, a: Attributes, path: Path, opacity: Values = 1.0) -> None:
    x = 20 * a.light
    colour = linear(x, 8, -x, 32, (0, tint(a.beard, 0.10), 1), (0.5, a.beard, 1), (1, dim(a.beard, 0.5), 1))
    pen.fill(path, colour, part=Part.BEARD, opacity=opacity)


def _cheek_beard(a: Attributes, grow: float) -> Path:
    """From the sideburns along the jaw, up to a line under the cheekbones and over the upper lip."""
    w, length, jaw_y = a.face_width + 0.3 * grow, a.face_length + grow, a.face_length * 0.60
    jaw_x = w * (0.75 + 0.15 * a.jaw)
    lean = (w - jaw_x) * 0.55
    lip = a.nose_length + 3.0
    path = (
        Path()
        .move(0, lip)
        .cubic(6, lip, 10, lip + 0.4, 12.5, lip + 2.4)
        .cubic(16, lip - 0.5, w - 3.6, 10, w - 2.6, 0)
    )
    path.line(w - 0.1, -1).cubic(w, 5, jaw_x + lean, jaw_y - 7, jaw_x, jaw_y)
    path.cubic(jaw_x - lean * 1.05, jaw_y + 7.3, 5.5 + 6 * a.chin + 0.4 * grow, length, 0, length)
    return path.mirror(0.0)


def _full(pen: Pen, a: Attributes) -> None:
    _paint_beard(pen, a, _cheek_beard(a, 4.0))


def _stubble(pen: Pen, a: Attributes) -> None:
    _paint_beard(pen, a, _cheek_beard(a, 0.0), opacity=0.62)


def _goatee(pen: Pen, a: Attributes) -> None:
    top, end = a.nose_length + 4.5, a.face_length + 1.6
    half = a.mouth_width * 1.12
    path = (
        Path()
        .move(0, top)
        .line(half * 0.8, top)
        .cubic(half * 1.2, top + 1, half * 1.2, end - 6, half * 0.72, end - 2)
    )
    path.cubic(half * 0.5, end, half * 0.2, end + 0.6, 0, end + 0.6)
    _paint_beard(pen, a, path.mirror(0.0))


def _moustache(pen: Pen, a: Attributes) -> None:
    x, y = 2.2 * a.yaw, a.nose_length + 2.2
    half = a.mouth_width * 1.12
    corner = a.nose_length + 7.6 - 1.6 * a.smile
    path = (
        Path()
        .move(x, y + 0.6)
        .cubic(x + 2.4, y - 0.6, x + half * 0.7, y + 0.2, x + half * 1.06, corner - 0.4)
    )
    path.cubic(x + half * 1.1, corner + 0.9, x + half * 0.9, corner + 0.6, x + half * 0.8, corner - 0.4)
    path.cubic(x + half * 0.5, y + 4.4, x + 2, y + 4.2, x, y + 3.4).mirror(x)
    pen.fill(path.shift(0, 0.8), solid(shade(a.skin, 1.0), 0.35), inside=Slot.HEAD)
    _paint_beard(pen, a, path)
