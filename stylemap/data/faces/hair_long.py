"""Hair that falls beside or behind the head: a back part under everything, a front part over the face."""

from __future__ import annotations


from ..raster import Path, Pen, Values, smooth
from .attributes import HAIR_STYLES, Attributes
from .hair import SHORT, afro_behind, cap, each_style, paint_front, paint_mass, paint_shine, paint_strands
from .head import CROWN


def draw_hair_behind(pen: Pen, a: Attributes) -> None:
    behind = {
        "afro": afro_behind, "fringe_bob": _bob_behind, "side_bob": _bob_behind, "long": _long_behind,
        "wavy": _wavy_behind, "bun": _bun_behind, "ponytail": _tail_behind,
    }  # fmt: skip
    each_style(pen, a, a.hair_style, HAIR_STYLES, behind)


def draw_hair(pen: Pen, a: Attributes) -> None:
    front = {
        "fringe_bob": _fringe, "side_bob": _side_bob, "long": _curtains, "wavy": _wavy_front,
        "bun": _pulled_back, "ponytail": _pulled_back,
    }  # fmt: skip
    each_style(pen, a, a.hair_style, HAIR_STYLES, SHORT | front)


def _top(a: Attributes) -> Values:
    return CROWN - 3.0 - 2.2 * a.hair_volume


def _bob_behind(pen: Pen, a: Attributes) -> None:
    w, v, top = a.face_width + 4.2 + 2.0 * a.hair_volume, a.hair_volume, _top(a)
    end = a.face_length - 6 + 5 * v
    path = Path().move(0, top).cubic(0.62 * w, top, w, -22, w + 0.4, -4).cubic(w + 1.2, 8, w + 2.2, end - 8, w - 0.5, end)
    path.cubic(w - 5, end + 2.4, w * 0.55, end + 1.2, w * 0.4, end - 2).line(0, end - 6)
    paint_mass(pen, a, path.mirror(0.0), behind=True)


def _long_behind(pen: Pen, a: Attributes) -> None:
    w, top = a.face_width + 4.0 + 2.4 * a.hair_volume, _top(a)
    path = Path().move(0, top).cubic(0.62 * w, top, w, -22, w + 0.4, -4).cubic(w + 1.6, 16, w + 3.4, 34, w + 3.0, 62).line(0, 62)
    paint_mass(pen, a, path.mirror(0.0), behind=True)


def _wavy_behind(pen: Pen, a: Attributes) -> None:
    w, top = a.face_width + 5.5 + 2.6 * a.hair_volume, _top(a)
    right = [(w * 0.62, top + 3.4), (w, -16), (w + 0.2, -4), (w + 3.6, 6), (w + 1.0, 15), (w + 4.6, 25), (w + 1.6, 34), (w + 4.8, 44), (w + 2, 60)]
    left = [(-x, y) for x, y in reversed(right)]
    paint_mass(pen, a, smooth([(0, top), *right, *left]), behind=True)


def _bun_behind(pen: Pen, a: Attributes) -> None:
    y, size = CROWN - 4.6 - 1.5 * a.hair_volume, 7.2 + 2.0 * a.hair_volume
    paint_mass(pen, a, Path().ellipse(0, y, size * 1.12, size))
    for k in (-0.45, 0.25):
        paint_strands(pen, a, [((-size * 0.9, y + size * (k + 0.3)), (0, y + size * (k - 0.5)), (size * 0.9, y + size * (k + 0.1)))])


def _tail_behind(pen: Pen, a: Attributes) -> None:
    w, s, v = a.face_width, a.hair_side, a.hair_volume
    end = 30 + 8 * v
    tail = Path().move(s * (w - 6), -20).cubic(s * (w + 9), -26, s * (w + 15 + 2 * v), -8, s * (w + 12 + 2 * v), 8)
    tail.cubic(s * (w + 10), 18, s * (w + 12), end - 8, s * (w + 5), end).cubic(s * (w + 4), end - 9, s * (w - 1), 18, s * (w + 1), 6)
    tail.cubic(s * (w + 2), -2, s * (w - 2), -8, s * (w - 6), -20)
    paint_mass(pen, a, tail.close())
    paint_strands(pen, a, [((s * (w + 1), -17), (s * (w + 9), -6), (s * (w + 5), 18)), ((s * (w + 3), -19), (s * (w + 14), -6), (s * (w + 8), 24))])


def _side_locks(pen: Pen, a: Attributes, end: Values, out: Values, taper: float, sides: tuple[float, ...] = (-1.0, 1.0)) -> None:
    """Hair in front of the ears, down to ``end``."""
    w = a.face_width
    for s in sides:
        lock = Path().move(s * w * 0.70, -25).cubic(s * (w + out * 0.9), -22, s * (w + out), -6, s * (w + out + 0.3), 4)
        lock.cubic(s * (w + out + 1), end * 0.5, s * (w + out + 1.2), end * 0.8, s * (w + out * taper - 1), end)
        lock.cubic(s * (w - 3.0), end * 0.9, s * (w - 1.8), end * 0.4, s * (w - 2.6), 4).cubic(s * (w - 3.4), -4, s * w * 0.80, -10, s * w * 0.70, -25)
        paint_front(pen, a, lock.close())
        lines = [((s * (w + out * k), -10), (s * (w + out * (k + 0.2)), 6), (s * (w + out * k), end - 3)) for k in (0.1, 0.6)]
        paint_strands(pen, a, lines)


def _fringe(pen: Pen, a: Attributes) -> None:
    w, v, top = a.face_width, a.hair_volume, _top(a)
    _side_locks(pen, a, a.face_length - 7 + 5 * v, 3.4 + 1.4 * v, 0.5)
    outer, line = w + 3.0 + 1.6 * v, -11.6 - 1.8 * v
    path = Path().move(0, top).cubic(0.64 * outer, top, outer, -22, outer, -5).line(w - 2.8, 0)
    path.cubic(w - 4, -4, w * 0.86, line + 1, w * 0.80, line + 2.2).cubic(w * 0.5, line + 0.4, w * 0.25, line, 0, line)
    paint_front(pen, a, path.mirror(0.0))
    paint_shine(pen, a, -24, 0.78)
    paint_strands(pen, a, [((w * k * 0.5, top + 5), (w * k * 0.9, -22), (w * k, line + 3)) for k in (-0.62, -0.25, 0.16, 0.55)])


def _parted(pen: Pen, a: Attributes, part: Values, lift: Values) -> None:
    """Two sweeps from a parting at x = ``part`` to the temples."""
    w, v, top = a.face_width, a.hair_volume, _top(a)
    outer = w + 3.4 + 1.6 * v
    for s in (-1.0, 1.0):
        sweep = Path().move(part, top + 0.3).cubic(part + s * 0.5 * outer, top - 0.4, s * (outer + 0.4), -23, s * outer, -3)
        sweep.line(s * (w - 2.6), 3).cubic(s * (w - 2.8), -6, s * w * 0.86, -13 + lift, s * w * 0.62, -17 + lift)
        sweep.cubic(s * w * 0.40 + part * 0.4, -19.5 + lift, part + s * 2.4, -22, part, -24.5).close()
        paint_front(pen, a, sweep)
        paint_shine(pen, a, -24, 0.76)
        ends = ((0.70, -15.0), (0.92, -10.0))
        paint_strands(pen, a, [((part, -26), (part + s * w * 0.4, -29), (s * w * x, y)) for x, y in ends])


def _side_bob(pen: Pen, a: Attributes) -> None:
    _side_locks(pen, a, a.face_length - 6 + 5 * a.hair_volume, 3.6 + 1.6 * a.hair_volume, 0.4)
    _parted(pen, a, 8.5 * a.hair_side, 1.5)


def _curtains(pen: Pen, a: Attributes) -> None:
    _side_locks(pen, a, 46 + 0 * a.face_width, 3.8 + 2.0 * a.hair_volume, 1.0)
    _parted(pen, a, 0.6 * a.hair_side, 0.0)


def _wavy_front(pen: Pen, a: Attributes) -> None:
    w, v = a.face_width, a.hair_volume
    for s in (-1.0, 1.0):
        out = w + 5.0 + 2.2 * v
        lock = smooth(
            [(s * w * 0.70, -25), (s * (out - 1.5), -16), (s * out, -4), (s * (out + 2.4), 7), (s * (out - 0.4), 17), (s * (out + 2.6), 28),
             (s * (out - 1), 40), (s * (w + 0.5), 46), (s * (w - 2.4), 36), (s * (w + 0.6), 26), (s * (w - 2.2), 14), (s * (w - 1.6), 4), (s * (w - 3.4), -6)]
        )  # fmt: skip
        paint_front(pen, a, lock)
        paint_strands(pen, a, [((s * (w + 1.5), -8), (s * (w + 5.5), 6), (s * (w + 1.5), 18)), ((s * (w + 2.5), 16), (s * (w + 5), 26), (s * (w + 1.5), 38))])
    _parted(pen, a, 7.5 * a.hair_side, 0.8)


def _pulled_back(pen: Pen, a: Attributes) -> None:
    w, v = a.face_width, a.hair_volume
    paint_front(pen, a, cap(a, 1.4 + 0.8 * v, 0.7, -20.5, 1.0))
    paint_shine(pen, a, -25)
    paint_strands(pen, a, [((w * k, -18), (w * k * 0.8, -25), (w * k * 0.35, -31)) for k in (-0.7, -0.35, 0.35, 0.7)])
