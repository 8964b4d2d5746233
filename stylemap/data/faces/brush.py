"""What the drawing modules share: hair paint, and the choice of a drawing function by style."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.palettes import dim, mix, shade, tint
from stylemap.data.faces.parts import Part, Slot
from stylemap.data.path import Path, Values
from stylemap.data.raster import Pen, linear, solid


def paint_mass(pen: Pen, a: Attributes, path: Path, *, behind: bool = False, opacity: Values = 1.0) -> None:
    """A body of hair, lit from the light's side; hair behind the head lies in shadow."""
    lit, dark = tint(a.hair, 0.16), dim(a.hair, 0.50)
    if behind:
        lit, dark = dim(a.hair, 0.28), dim(a.hair, 0.75)
    x = 26 * a.light
    paint = linear(x, -34, -x, 16, (0, lit, 1), (0.5, mix(lit, dark, 0.40), 1), (1, dark, 1))
    pen.fill(path, paint, part=Part.HAIR, store=Slot.HAIR, opacity=opacity)


def paint_shadow(pen: Pen, a: Attributes, path: Path) -> None:
    """What hair over the face casts on it."""
    pen.fill(path.shift(-0.5 * a.light, 1.7), solid(shade(a.skin, 0.85), 0.45), inside=Slot.HEAD)


def paint_front(pen: Pen, a: Attributes, path: Path) -> None:
    """Hair over the face, with its shadow."""
    paint_shadow(pen, a, path)
    paint_mass(pen, a, path)


def paint_shine(pen: Pen, a: Attributes, y: Values = -24.0, reach: Values = 0.72) -> None:
    """A soft band of light across the top of the hair."""
    w = a.face_width * reach
    x = 5 * a.light
    band = Path().move(x - w, y + 9).cubic(x - w * 0.7, y - 1, x - w * 0.3, y - 3, x, y - 3)
    band.cubic(x + w * 0.3, y - 3, x + w * 0.7, y - 1, x + w, y + 9)
    pen.stroke(band, solid(tint(a.hair, 0.55), 0.42), 3.0, feather=3.6, inside=Slot.HAIR)


def paint_strands(
    pen: Pen, a: Attributes, lines: list[tuple[tuple[Values, Values], ...]], width: float = 1.0
) -> None:
    """A few soft darker lines along the hair, each a quadratic (start, control, end)."""
    for start, control, end in lines:
        line = Path().move(*start).quad(*control, *end)
        pen.stroke(line, solid(dim(a.hair, 0.8), 0.34), width, 0.5 * width, feather=0.9, inside=Slot.HAIR)


def each_style(
    pen: Pen,
    a: Attributes,
    codes: np.ndarray,
    names: tuple[str, ...],
    table: Mapping[str, Callable[[Pen, Attributes], None]],
) -> None:
    """Calls table[name](pen, a) with the faces of that style; names without an entry draw nothing."""
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        if len(rows) and name in table:
            table[name](pen.take(rows), a.take(rows))
