"""Glasses and hats."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import GLASSES_STYLES, HAT_STYLES, Attributes
from stylemap.data.faces.brush import each_style
from stylemap.data.faces.head import CROWN
from stylemap.data.faces.palettes import WHITE, dim, mix, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, Values
from stylemap.data.raster import Paint, Pen, linear, solid

_SHADOW = np.array([0.16, 0.08, 0.08])  # of a hat, on skin and on hair


def _metal(a: Attributes) -> Paint:
    return linear(0, -9, 0, 9, (0, tint(a.frame, 0.25), 1), (0.5, a.frame, 1), (1, dim(a.frame, 0.3), 1))


def draw_glasses_arms(pen: Pen, a: Attributes) -> None:
    """From the lenses to the ears, drawn under the hair."""
    rows = np.flatnonzero(a.glasses_style > 0)
    pen, a = pen.take(rows), a.take(rows)
    for s in (-1.0, 1.0):
        start = s * (a.eye_spacing + 9.0) + 1.5 * a.yaw
        arm = Path().move(start, -2.6).line(s * (a.face_width - 0.2), -3.2)
        pen.stroke(arm, _metal(a), 1.7, part=Part.GLASSES, inside=Slot.HEAD)


def draw_glasses(pen: Pen, a: Attributes) -> None:
    """Draw frames, lenses and bridge."""
    each_style(
        pen, a, a.glasses_style, GLASSES_STYLES, {"round": _round, "square": _square, "cat_eye": _cat_eye}
    )


def _round(pen: Pen, a: Attributes) -> None:
    _frames(
        pen, a, [Path().ellipse(s * a.eye_spacing + 1.5 * a.yaw, 0.4, 9.2, 8.8) for s in (-1.0, 1.0)], 1.5
    )


def _square(pen: Pen, a: Attributes) -> None:
    lenses = []
    for s in (-1.0, 1.0):
        x, r = s * a.eye_spacing + 1.5 * a.yaw, 9.4
        lens = (
            Path()
            .move(x - r + 2.5, -6.2)
            .line(x + r - 2.5, -6.2)
            .quad(x + r, -6.2, x + r, -3.6)
            .line(x + r - 0.8, 4.6)
        )
        lens.quad(x + r - 1.2, 7.4, x + r - 4, 7.4).line(x - r + 4, 7.4).quad(
            x - r + 1.2, 7.4, x - r + 0.8, 4.6
        )
        lenses.append(lens.line(x - r, -3.6).quad(x - r, -6.2, x - r + 2.5, -6.2).close())
    _frames(pen, a, lenses, 1.9)


def _cat_eye(pen: Pen, a: Attributes) -> None:
    lenses = []
    for s in (-1.0, 1.0):
        x = s * a.eye_spacing + 1.5 * a.yaw
        lens = Path().move(x - s * 8.6, -4.4).cubic(x - s * 4, -6.4, x + s * 5, -6.6, x + s * 11.2, -8.2)
        lens.cubic(x + s * 10.8, -1, x + s * 9, 7, x + s * 1, 7.2).cubic(
            x - s * 6.4, 7.2, x - s * 9.4, 2, x - s * 8.6, -4.4
        )
        lenses.append(lens.close())
    _frames(pen, a, lenses, 1.9)


def _frames(pen: Pen, a: Attributes, lenses: list[Path], width: float) -> None:
    metal = _metal(a)
    centre = 1.5 * a.yaw
    for s, lens in zip((-1.0, 1.0), lenses, strict=True):
        x = s * a.eye_spacing + centre
        pen.stroke(
            lens.shift(-0.5 * a.light, 1.1),
            solid(shade(a.skin, 1.0), 0.4),
            width,
            feather=0.8,
            inside=Slot.HEAD,
        )
        pen.fill(
            lens,
            linear(0, -8, 0, 9, (0, dim(a.frame, 0.3), 1.0), (1, tint(a.frame, 0.4), 0.55)),
            opacity=a.lens_tint,
        )
        pen.fill(lens, None, store=Slot.SCRATCH)
        glare = Path().move(x - 3, -9).line(x + 1.6, -9).line(x - 4.6, 9).line(x - 9.2, 9).close()
        pen.fill(glare, solid(WHITE, 0.14), inside=Slot.SCRATCH)
        pen.stroke(lens, metal, width, part=Part.GLASSES)
    inner = a.eye_spacing - 9.0
    pen.stroke(
        Path().move(centre - inner, -1.2).quad(centre, -3.6, centre + inner, -1.2),
        metal,
        width,
        part=Part.GLASSES,
    )


def draw_hat(pen: Pen, a: Attributes) -> None:
    """Draw the hat over the hair."""
    each_style(pen, a, a.hat_style, HAT_STYLES, {"beanie": _beanie, "cap": _cap, "fedora": _fedora})


def _cloth_paint(a: Attributes, colour: np.ndarray) -> Paint:
    x = 28 * a.light
    return linear(x, -40, -x, -8, (0, tint(colour, 0.2), 1), (0.5, colour, 1), (1, dim(colour, 0.5), 1))


def _drop_shadow(pen: Pen, a: Attributes, path: Path, depth: float) -> None:
    pen.fill(path.shift(-0.5 * a.light, depth), solid(_SHADOW, 0.30), inside=Slot.HEAD)


def _dome(a: Attributes, top: Values, side: Values, base: Values, sag: Values) -> Path:
    w = a.face_width + side
    path = Path().move(0, top).cubic(0.66 * w, top, w + 0.5, -30, w + 0.2, base)
    return path.cubic(w * 0.7, base + sag * 0.8, w * 0.35, base + sag, 0, base + sag).mirror(0.0)


def _beanie(pen: Pen, a: Attributes) -> None:
    side, top = 4.6, CROWN - 8.0
    w = a.face_width + side
    pen.fill(Path().ellipse(0, top - 1.2, 5.2), _cloth_paint(a, a.hat_band), part=Part.HAT)
    pen.fill(_dome(a, top, side - 0.6, -16.0, 1.0), _cloth_paint(a, a.hat), part=Part.HAT, store=Slot.HAT)
    for k in (-0.62, -0.22, 0.22, 0.62):
        rib = Path().move(w * k, -16).cubic(w * k, -24, w * k * 0.8, -33, w * k * 0.3, top + 1)
        pen.stroke(rib, solid(dim(a.hat, 0.8), 0.35), 1.2, 0.8, feather=1.0, inside=Slot.HAT)
    brim = (
        Path()
        .move(0, -21)
        .cubic(w * 0.6, -21, w * 0.9, -22, w + 0.6, -23)
        .cubic(w + 1.8, -20, w + 1.8, -16, w + 0.7, -12.5)
    )
    brim.cubic(w * 0.8, -11.8, w * 0.5, -11.2, 0, -11.2).mirror(0.0)
    _drop_shadow(pen, a, brim, 2.0)
    pen.fill(brim, _cloth_paint(a, mix(a.hat, a.hat_band, 0.75)), part=Part.HAT)


def _cap(pen: Pen, a: Attributes) -> None:
    side, top = 3.8, CROWN - 6.0
    w = a.face_width + side
    pen.fill(_dome(a, top, side, -14.0, -3.0), _cloth_paint(a, a.hat), part=Part.HAT, store=Slot.HAT)
    for k in (-0.45, 0.45):
        seam = Path().move(w * k * 1.2, -16).cubic(w * k * 1.3, -24, w * k, -33, 0, top)
        pen.stroke(seam, solid(dim(a.hat, 0.8), 0.4), 0.8, feather=0.6, inside=Slot.HAT)
    pen.fill(Path().ellipse(0, top + 0.2, 2.2, 1.2), solid(dim(a.hat, 0.3)), part=Part.HAT)
    peak = (
        Path()
        .move(0, -20.5)
        .cubic(w * 0.5, -20.5, w * 0.9, -19, w * 0.97, -14.5)
        .cubic(w * 1.02, -11.5, w * 0.95, -10.2, w * 0.88, -10.4)
    )
    peak.cubic(w * 0.6, -12.2, w * 0.3, -12.8, 0, -12.8).mirror(0.0)
    _drop_shadow(pen, a, peak, 3.2)
    pen.fill(
        peak,
        linear(0, -21, 0, -10, (0, tint(a.hat_band, 0.12), 1), (1, dim(a.hat_band, 0.45), 1)),
        part=Part.HAT,
    )


def _fedora(pen: Pen, a: Attributes) -> None:
    w, top = a.face_width, CROWN - 10.0
    crown = (
        Path()
        .move(0, top + 2.2)
        .cubic(w * 0.3, top - 1.5, w * 0.8, top - 1, w * 0.86, top + 8)
        .line(w * 1.0, -18)
        .line(0, -16)
        .mirror(0.0)
    )
    pen.fill(crown, _cloth_paint(a, a.hat), part=Part.HAT, store=Slot.HAT)
    dent = Path().move(0, top + 2).quad(-2 * a.light, top + 7, 0, top + 12)
    pen.stroke(dent, solid(dim(a.hat, 0.9), 0.5), 2.6, 0.8, feather=2.2, inside=Slot.HAT)
    band = (
        Path().move(-w - 2, -25).quad(0, -21, w + 2, -25).line(w + 2, -19).quad(0, -15, -w - 2, -19).close()
    )
    pen.fill(band, _cloth_paint(a, dim(a.hat_band, 0.25)), inside=Slot.HAT)
    brim = (
        Path()
        .move(0, -19.5)
        .cubic(w * 0.7, -19.5, w * 1.2, -21.5, w * 1.62, -23.5)
        .cubic(w * 1.72, -20, w * 1.2, -12.6, 0, -12.4)
        .mirror(0.0)
    )
    _drop_shadow(pen, a, brim, 3.4)
    pen.fill(brim, linear(0, -22, 0, -11, (0, tint(a.hat, 0.14), 1), (1, dim(a.hat, 0.5), 1)), part=Part.HAT)
