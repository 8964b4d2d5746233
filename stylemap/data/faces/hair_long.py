"""Hair that falls beside or behind the head: a back part under everything, a front part over the face."""

from __future__ import annotations

from stylemap.data.faces.attributes import HAIR_STYLES, Attributes
from stylemap.data.faces.brush import (
    each_style,
    paint_front,
    paint_mass,
    paint_shadow,
    paint_shine,
    paint_strands,
)
from stylemap.data.faces.hair import SHORT, afro_behind, cap
from stylemap.data.faces.head import CROWN
from stylemap.data.faces.palettes import dim
from stylemap.data.faces.parts import Slot
from stylemap.data.path import Path, Values, smooth
from stylemap.data.raster import Pen, solid


def draw_hair_behind(pen: Pen, a: Attributes) -> None:
    """Draw the hair behind the head and the shoulders."""
    behind = {
        "afro": afro_behind, "fringe_bob": _bob_behind, "side_bob": _bob_behind, "long": _long_behind,
        "wavy": _wavy_behind, "bun": _bun_behind, "ponytail": _tail_behind,
    }  # fmt: skip
    each_style(pen, a, a.hair_style, HAIR_STYLES, behind)


def draw_hair(pen: Pen, a: Attributes) -> None:
    """Draw the hair in front of the head."""
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
    path = (
        Path()
        .move(0, top)
        .cubic(0.62 * w, top, w, -22, w + 0.4, -4)
        .cubic(w + 1.2, 8, w + 2.2, end - 8, w - 0.5, end)
    )
    path.cubic(w - 5, end + 2.4, w * 0.55, end + 1.2, w * 0.4, end - 2).line(0, end - 6)
    paint_mass(pen, a, path.mirror(0.0), behind=True)


def _long_behind(pen: Pen, a: Attributes) -> None:
    w, top = a.face_width + 4.0 + 2.4 * a.hair_volume, _top(a)
    path = (
        Path()
        .move(0, top)
        .cubic(0.62 * w, top, w, -22, w + 0.4, -4)
        .cubic(w + 1.6, 16, w + 3.4, 34, w + 3.0, 62)
        .line(0, 62)
    )
    paint_mass(pen, a, path.mirror(0.0), behind=True)


def _wavy_behind(pen: Pen, a: Attributes) -> None:
    w, top = a.face_width + 5.5 + 2.6 * a.hair_volume, _top(a)
    right = [
        (w * 0.48, top + 2.4),
        (w * 0.84, top + 9.5),
        (w + 0.6, -13),
        (w + 0.4, -3),
        (w + 3.6, 6),
        (w + 1.0, 15),
        (w + 4.6, 25),
        (w + 1.6, 34),
        (w + 4.8, 44),
        (w + 2, 60),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    paint_mass(pen, a, smooth([(0, top), *right, *left]), behind=True)


def _bun_behind(pen: Pen, a: Attributes) -> None:
    y, size = CROWN - 4.6 - 1.5 * a.hair_volume, 7.2 + 2.0 * a.hair_volume
    paint_mass(pen, a, Path().ellipse(0, y, size * 1.12, size))
    for k in (-0.45, 0.25):
        paint_strands(
            pen,
            a,
            [
                (
                    (-size * 0.9, y + size * (k + 0.3)),
                    (0, y + size * (k - 0.5)),
                    (size * 0.9, y + size * (k + 0.1)),
                )
            ],
        )


def _tail_behind(pen: Pen, a: Attributes) -> None:
    w, s, v = a.face_width, a.hair_side, a.hair_volume
    end = 30 + 8 * v
    tail = (
        Path()
        .move(s * (w - 6), -20)
        .cubic(s * (w + 9), -26, s * (w + 15 + 2 * v), -8, s * (w + 12 + 2 * v), 8)
    )
    tail.cubic(s * (w + 10), 18, s * (w + 12), end - 8, s * (w + 5), end).cubic(
        s * (w + 4), end - 9, s * (w - 1), 18, s * (w + 1), 6
    )
    tail.cubic(s * (w + 2), -2, s * (w - 2), -8, s * (w - 6), -20)
    paint_mass(pen, a, tail.close())
    paint_strands(
        pen,
        a,
        [
            ((s * (w + 1), -17), (s * (w + 9), -6), (s * (w + 5), 18)),
            ((s * (w + 3), -19), (s * (w + 14), -6), (s * (w + 8), 24)),
        ],
    )


def _lock(a: Attributes, s: float, end: Values, out: Values, taper: float) -> Path:
    """Straight hair in front of the ear on side ``s``, down to ``end``."""
    w = a.face_width
    lock = (
        Path()
        .move(s * w * 0.70, -25)
        .cubic(s * (w + out * 0.9), -22, s * (w + out), -6, s * (w + out + 0.3), 4)
    )
    lock.cubic(s * (w + out + 1), end * 0.5, s * (w + out + 1.2), end * 0.8, s * (w + out * taper - 1), end)
    lock.cubic(s * (w - 3.0), end * 0.9, s * (w - 1.8), end * 0.4, s * (w - 2.6), 4)
    return lock.cubic(s * (w - 3.4), -4, s * w * 0.80, -10, s * w * 0.70, -25).close()


def _wavy_lock(a: Attributes, s: float) -> Path:
    w, out = a.face_width, a.face_width + 5.0 + 2.2 * a.hair_volume
    outer = [(w * 0.70, -25), (out - 1.5, -16), (out, -4), (out + 2.4, 7), (out - 0.4, 17), (out + 2.6, 28)]
    inner = [(w - 2.4, 36), (w + 0.6, 26), (w - 2.2, 14), (w - 1.6, 4), (w - 3.4, -6)]
    return smooth([(s * x, y) for x, y in (*outer, (out - 1, 40), (w + 0.5, 47), *inner)])


def _parting(a: Attributes, part: Values, lift: Values, out: Values) -> Path:
    """Over the skull, ``out`` wider than the face, open over the forehead from a parting at ``part``."""
    w, top, outer = a.face_width, _top(a), a.face_width + out
    path = (
        Path()
        .move(-outer, -3)
        .cubic(-outer, -22, -0.62 * outer, top, 0, top)
        .cubic(0.62 * outer, top, outer, -22, outer, -3)
    )
    path.line(w - 2.6, 3).cubic(w - 2.8, -6, w * 0.86, -13 + lift, w * 0.62, -17 + lift)
    path.cubic(w * 0.40 + part * 0.4, -19.5 + lift, part + 2.4, -22, part, -24.5)
    path.cubic(part - 2.4, -22, -w * 0.40 + part * 0.4, -19.5 + lift, -w * 0.62, -17 + lift)
    return path.cubic(-w * 0.86, -13 + lift, -w + 2.8, -6, -w + 2.6, 3).close()


def _paint_framed(pen: Pen, a: Attributes, locks: list[Path], top: Path) -> None:
    """Locks beside the face and hair over the forehead; all shadows first, so that none falls on hair."""
    for path in (*locks, top):
        paint_shadow(pen, a, path)
    w = a.face_width
    for s, lock in zip((-1.0, 1.0), locks, strict=True):
        paint_mass(pen, a, lock)
        paint_strands(
            pen, a, [((s * (w + k), -10), (s * (w + k + 1.6), 8), (s * (w + k), 22)) for k in (0.6, 3.0)]
        )
    paint_mass(pen, a, top)
    paint_shine(pen, a, -24, 0.78)


def _parted(pen: Pen, a: Attributes, locks: list[Path], part: Values, lift: Values, out: Values) -> None:
    _paint_framed(pen, a, locks, _parting(a, part, lift, out))
    w = a.face_width
    crease = Path().move(part, -25).quad(part, -28, part * 0.8, _top(a) + 1.0)
    pen.stroke(crease, solid(dim(a.hair, 0.9), 0.5), 0.9, 0.4, feather=0.6, inside=Slot.HAIR)
    for s in (-1.0, 1.0):
        ends = ((0.70, -15.0), (0.92, -10.0))
        paint_strands(pen, a, [((part, -26), (part + s * w * 0.4, -29), (s * w * x, y)) for x, y in ends])


def _fringe(pen: Pen, a: Attributes) -> None:
    w, v, top = a.face_width, a.hair_volume, _top(a)
    outer, line = w + 3.0 + 1.6 * v, -11.6 - 1.8 * v
    path = Path().move(0, top).cubic(0.64 * outer, top, outer, -22, outer, -5).line(w - 2.8, 0)
    path.cubic(w - 4, -4, w * 0.86, line + 1, w * 0.80, line + 2.2).cubic(
        w * 0.5, line + 0.4, w * 0.25, line, 0, line
    )
    locks = [_lock(a, s, a.face_length - 7 + 5 * v, 3.4 + 1.4 * v, 0.5) for s in (-1.0, 1.0)]
    _paint_framed(pen, a, locks, path.mirror(0.0))
    paint_strands(
        pen,
        a,
        [((w * k * 0.5, top + 5), (w * k * 0.9, -22), (w * k, line + 3)) for k in (-0.62, -0.25, 0.16, 0.55)],
    )


def _side_bob(pen: Pen, a: Attributes) -> None:
    v = a.hair_volume
    locks = [_lock(a, s, a.face_length - 6 + 5 * v, 3.6 + 1.6 * v, 0.4) for s in (-1.0, 1.0)]
    _parted(pen, a, locks, 8.5 * a.hair_side, 1.5, 3.6 + 1.8 * v)


def _curtains(pen: Pen, a: Attributes) -> None:
    out = 3.6 + 2.2 * a.hair_volume
    _parted(pen, a, [_lock(a, s, 46.0, out, 1.0) for s in (-1.0, 1.0)], 0.6 * a.hair_side, 0.0, out)


def _wavy_front(pen: Pen, a: Attributes) -> None:
    _parted(
        pen, a, [_wavy_lock(a, s) for s in (-1.0, 1.0)], 7.5 * a.hair_side, 0.8, 4.8 + 2.4 * a.hair_volume
    )


def _pulled_back(pen: Pen, a: Attributes) -> None:
    w, v = a.face_width, a.hair_volume
    paint_front(pen, a, cap(a, 1.4 + 0.8 * v, 0.7, -20.5, 1.0))
    paint_shine(pen, a, -25)
    paint_strands(
        pen, a, [((w * k, -18), (w * k * 0.8, -25), (w * k * 0.35, -31)) for k in (-0.7, -0.35, 0.35, 0.7)]
    )
