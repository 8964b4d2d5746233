"""Short hair. Long hair: :mod:`.hair_long`.

Coordinates are those of the head: the eyes at height 0, the crown at -31. Asymmetric styles multiply x by
``hair_side``.
"""

from __future__ import annotations

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.brush import paint_front, paint_mass, paint_shine, paint_strands
from stylemap.data.faces.head import CROWN
from stylemap.data.faces.palettes import dim, tint
from stylemap.data.faces.parts import Slot
from stylemap.data.path import Path, Values, smooth
from stylemap.data.raster import Pen, radial, solid


def cap(a: Attributes, top: Values, side: Values, hairline: Values, burn: Values = 3.0) -> Path:
    """Close-fitting hair, ``top`` and ``side`` units thick, down to the hairline and the sideburns."""
    w, outer = a.face_width, a.face_width + side
    path = (
        Path()
        .move(0, CROWN - top)
        .cubic(0.62 * outer, CROWN - top, outer, -22, outer, -5)
        .line(outer - 0.4, burn)
    )
    path.cubic(outer - 1.6, burn + 1.2, w - 2.6, burn + 0.4, w - 2.6, burn - 2)
    path.cubic(w - 3.0, -5, w * 0.93, -7, w * 0.80, -10.5).cubic(
        w * 0.76, hairline + 3.2, w * 0.58, hairline, 0, hairline
    )
    return path.mirror(0.0)


def _bald(pen: Pen, a: Attributes) -> None:
    x = 8 * a.light
    shine = radial(x, -22, 11, 6, (0, tint(a.skin, 0.85), 0.55), (1, a.skin, 0))
    pen.fill(Path().ellipse(x, -22, 11, 6), shine, inside=Slot.HEAD)


def _buzz(pen: Pen, a: Attributes) -> None:
    path = cap(a, 0.5 + 0.6 * a.hair_volume, 0.35, -19.5, 1.0)
    paint_mass(pen, a, path, opacity=0.84)
    paint_shine(pen, a, -24)


def _receding(pen: Pen, a: Attributes) -> None:
    _bald(pen, a)
    w = a.face_width
    for s in (-1.0, 1.0):
        tuft = (
            Path().move(s * w * 0.80, -22.5).cubic(s * w * 0.98, -20, s * (w + 2.6), -10, s * (w + 1.0), 2.6)
        )
        tuft.cubic(s * (w + 0.2), 4.4, s * (w - 2.4), 4.4, s * (w - 2.4), 2).cubic(
            s * (w - 2.6), -4, s * w * 0.80, -6, s * w * 0.83, -12
        )
        tuft.cubic(s * w * 0.85, -16, s * w * 0.86, -19, s * w * 0.80, -22.5)
        paint_front(pen, a, tuft.close())


def _side_part(pen: Pen, a: Attributes) -> None:
    w, s, v = a.face_width, a.hair_side, a.hair_volume
    outer, top = w + 1.2 + 0.8 * v, CROWN - 2.6 - 2.6 * v
    path = (
        Path()
        .move(-s * (outer - 0.4), 4)
        .cubic(-s * outer, -8, -s * (outer + 1.6), -18, -s * (outer * 0.80), -26)
    )
    path.cubic(-s * outer * 0.5, top - 1.2, s * 2, top - 0.6, s * 9, top + 1.2)
    path.cubic(s * outer * 0.85, top + 4, s * (outer + 0.2), -18, s * (outer - 0.2), 3)
    path.cubic(s * (outer - 1), 4.6, s * (w - 2.4), 4.4, s * (w - 2.4), 2).cubic(
        s * (w - 3), -6, s * w * 0.88, -10, s * w * 0.72, -16
    )
    path.cubic(s * w * 0.6, -20, s * 12, -22, s * 9.5, -23)
    path.cubic(s * 5, -17, -s * w * 0.30, -12.4, -s * w * 0.76, -14.4).cubic(
        -s * w * 0.90, -11, -s * (w - 2.6), -7, -s * (w - 2.4), 2
    )
    path.cubic(-s * (w - 2.4), 4.6, -s * (outer - 1), 5, -s * (outer - 0.4), 4)
    paint_front(pen, a, path.close())
    paint_shine(pen, a, -26)
    lines = [
        ((s * 9, -24), (s * 0, -30 - v), (-s * w * k, -18 + j))
        for k, j in ((0.80, 0.0), (0.62, 3.0), (0.36, 4.0))
    ]
    paint_strands(pen, a, [*lines, ((s * 9.5, -23), (s * 9.8, -27), (s * 8, top + 2))])


def _quiff(pen: Pen, a: Attributes) -> None:
    w, s, v = a.face_width, a.hair_side, a.hair_volume
    paint_front(pen, a, cap(a, 0.6, 0.5, -19.0, 3.0))
    top = CROWN - 6.5 - 4.5 * v
    path = (
        Path()
        .move(-s * w * 0.86, -15)
        .cubic(-s * (w + 2), -24, -s * w * 0.8, top + 1, -s * w * 0.25, top + 0.6)
    )
    path.cubic(s * w * 0.2, top - 1.6, s * (w + 1), top + 1, s * (w + 0.6), -25).cubic(
        s * (w + 0.4), -20, s * w * 0.95, -16, s * w * 0.82, -13.5
    )
    path.cubic(s * w * 0.7, -20, s * w * 0.3, -20.5, 0, -18.6).cubic(
        -s * w * 0.35, -16.6, -s * w * 0.65, -18, -s * w * 0.86, -15
    )
    paint_front(pen, a, path.close())
    paint_shine(pen, a, top + 7)
    base = [(-0.55, 0.10), (-0.20, 0.45), (0.15, 0.80)]
    paint_strands(
        pen,
        a,
        [((s * w * x0, -18), (s * w * (x0 - 0.15), top + 4), (s * w * x1, top + 3)) for x0, x1 in base],
    )


def _spiky(pen: Pen, a: Attributes) -> None:
    w, v = a.face_width, a.hair_volume
    outer, height = w + 1.0, 4.5 + 3.5 * v
    steps = (
        (-0.98, -14.0, 0.30),
        (-0.86, -23.0, 0.75),
        (-0.52, -29.0, 1.0),
        (-0.10, -31.5, 1.1),
        (0.34, -30.5, 1.0),
        (0.74, -25.5, 0.8),
        (0.97, -16.0, 0.35),
    )
    path = Path().move(-outer + 0.4, 3).cubic(-outer, -4, -outer, -9, -outer * 0.98, -12)
    lean = 0.10 * a.hair_side
    for i, (x, y, tall) in enumerate(steps):
        tip_x, tip_y = outer * (x * 1.12 + lean), y - height * tall
        x1, y1 = (steps[i + 1][0], steps[i + 1][1]) if i + 1 < len(steps) else (1.0, -12.0)
        valley_x, valley_y = outer * (x + x1) / 2, (y + y1) / 2 - 1.2
        path.quad(outer * (x - 0.02), y - 0.35 * height * tall, tip_x, tip_y)
        path.quad(outer * (x + 0.10), y - 0.30 * height * tall, valley_x, valley_y)
    path.cubic(outer, -9, outer, -4, outer - 0.4, 3).cubic(outer - 1.4, 4.4, w - 2.5, 4, w - 2.5, 2)
    path.cubic(w - 3, -6, w * 0.9, -8, w * 0.80, -14)
    for x, y in ((0.55, -18.5), (0.30, -13.5), (0.02, -18.5), (-0.25, -13.0), (-0.52, -18.5), (-0.80, -14.0)):
        path.quad(w * (x + 0.12), y + 1.2, w * x, y)
    path.cubic(-w * 0.9, -8, -w + 3, -6, -w + 2.5, 2).cubic(-w + 2.5, 4, -outer + 1.4, 4.4, -outer + 0.4, 3)
    paint_front(pen, a, path.close())
    paint_shine(pen, a, -25)


# Directions of curls: points of a unit circle from the right temple over the crown to the left one.
_ARC = ((1.0, 0.12), (0.985, -0.17), (0.90, -0.44), (0.74, -0.67), (0.53, -0.85), (0.27, -0.96), (0.0, -1.0))


def curls(cx: Values, cy: Values, rx: Values, ry: Values, size: Values) -> Path:
    """Round locks side by side along the upper half of an ellipse."""
    path = Path()
    for x, y in (*_ARC, *((-x, y) for x, y in reversed(_ARC[:-1]))):
        path.ellipse(cx + rx * x, cy + ry * y, size)
    return path


def _curly(pen: Pen, a: Attributes) -> None:
    w, v = a.face_width, a.hair_volume
    crown = curls(0, -9, w - 0.5, 21.5 + 1.5 * v, 4.3 + 1.3 * v)
    for x, y in ((-0.66, -19.5), (-0.34, -20.0), (0.0, -19.0), (0.34, -20.0), (0.66, -19.5)):
        crown.ellipse(w * x, y, 4.6)
    body = cap(a, 1.0, 0.4, -20, 2)
    crown.commands += body.commands
    crown.xs += body.xs
    crown.ys += body.ys
    paint_front(pen, a, crown)
    paint_shine(pen, a, -25)
    _curl_marks(pen, a, ((-0.55, -24.0), (-0.12, -25.5), (0.34, -25.0), (0.72, -19.0), (-0.8, -16.0)), 3.0)


def _curl_marks(pen: Pen, a: Attributes, spots: tuple[tuple[float, float], ...], size: float) -> None:
    w = a.face_width
    for x, y in spots:
        mark = (
            Path()
            .move(w * x - size, y)
            .cubic(w * x - size, y + size, w * x + size * 0.6, y + size * 1.1, w * x + size, y + 0.2 * size)
        )
        pen.stroke(mark, solid(dim(a.hair, 0.85), 0.38), 0.8, 0.5, feather=0.7, inside=Slot.HAIR)


def _afro(pen: Pen, a: Attributes) -> None:
    w = a.face_width
    right = [
        (w * 0.45, -19), (w * 0.78, -13.5), (w - 2.5, -4), (w - 2.2, 3),
        (w + 3.4, 4), (w + 4.5, -12), (w * 0.8, -29),
    ]  # fmt: skip
    path = smooth([(0, -19.5), *right, (0, -36), *((-x, y) for x, y in reversed(right))])
    paint_front(pen, a, path)
    soft = radial(10 * a.light, -30, 24, 16, (0, tint(a.hair, 0.5), 0.45), (1, a.hair, 0))
    pen.fill(path, soft, inside=Slot.HAIR)


def afro_behind(pen: Pen, a: Attributes) -> None:
    """Draw the part of an afro that is behind the head."""
    w, v = a.face_width, a.hair_volume
    rx, ry = w + 5.0 + 3.5 * v, 26.5 + 3.5 * v
    mass = curls(0, -10, rx, ry, 5.6)
    mass.ellipse(0, -9, rx + 2.0, ry + 2.2).ellipse(rx * 0.84, 4, 6.4).ellipse(-rx * 0.84, 4, 6.4)
    paint_mass(pen, a, mass)


SHORT = {
    "bald": _bald, "buzz": _buzz, "side_part": _side_part, "quiff": _quiff, "spiky": _spiky,
    "curly": _curly, "afro": _afro, "receding": _receding,
}  # fmt: skip
