"""Display lists for the native vector rasteriser, built for many images at once.

A path has the same commands for every image. Each coordinate is a number, or an array with one entry per
image. A :class:`Pen` adds shapes to the images of its rows; :meth:`DisplayList.draw` renders all images.
csrc/kernels/raster/raster.h defines the formats and the coverage of a pixel.

Why this package has its own rasteriser: skia-python 144 was tried on the same display lists, with its own
paths, gradients, clips and label maps. CPU time of one face of 128 x 128 (75 shapes; 48 faces, both in turns,
on one core of a Xeon with AVX-512): ours 0.94 ms, or 1,060 faces a second; skia-python 13.3 ms, or 75 faces
a second, with a goal of 200. Skia takes 3.3 ms of that, the Python calls for every path, paint and clip the
rest. The faces look equally good but differ: 1.7% of the pixels by more than 8 of 255 levels, and 0.45% of
the labels, so that every seed would give another picture. pycairo has no wheels for Linux and needs the
headers of libcairo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from stylemap.data.path import Path, Values

Stop: TypeAlias = "tuple[Values, np.ndarray, Values]"  # offset, colour n×3 or 3, alpha

FILL, STROKE = range(2)
NO_PAINT, SOLID, LINEAR, RADIAL = range(4)
MAX_STOPS = 4
SHAPE_COLUMNS = 10
VALUE_COLUMNS = 37


@dataclass
class Paint:
    """What a shape is filled with: ``stops`` are (offset, colour rows×3 or 3, alpha), at most four."""

    kind: int
    stops: list[Stop]
    geometry: tuple[Values, ...] = ()
    ease: bool = True


def solid(colour: np.ndarray, alpha: Values = 1.0) -> Paint:
    """One colour, rows×3 or 3 in [0, 1]."""
    return Paint(SOLID, [(0.0, colour, alpha)])


def linear(x0: Values, y0: Values, x1: Values, y1: Values, *stops: Stop) -> Paint:
    """A gradient from (x0, y0), offset 0, to (x1, y1), offset 1. At most four stops."""
    return Paint(LINEAR, list(stops), (x0, y0, x1, y1))


def radial(
    cx: Values,
    cy: Values,
    rx: Values,
    ry: Values,
    *stops: Stop,
    turn: Values = 0.0,
) -> Paint:
    """Elliptic; ``turn`` is the tangent of half its rotation angle."""
    scale = 1 + turn * turn
    return Paint(RADIAL, list(stops), (cx, cy, rx, ry, (1 - turn * turn) / scale, 2 * turn / scale))


@dataclass
class DisplayList:
    """Shapes of ``images`` pictures, in the order in which pens added them."""

    images: int
    _rows: list[np.ndarray] = field(default_factory=list)
    _shapes: list[np.ndarray] = field(default_factory=list)
    _values: list[np.ndarray] = field(default_factory=list)
    _points: list[np.ndarray] = field(default_factory=list)
    _commands: list[int] = field(default_factory=list)
    _total_points: int = 0

    def pen(self, affine: np.ndarray) -> Pen:
        """A pen for every image; ``affine`` (images × 6) takes its units to the unit square."""
        return Pen(self, np.arange(self.images), affine)

    def add(self, rows: np.ndarray, path: Path, shape: np.ndarray, values: np.ndarray) -> None:
        """Append one shape for each of ``rows``, with its int32 and float32 records (rows × columns).

        The first four columns of ``shape`` are filled in here: the first point and the first command of
        the path, and the number of each.
        """
        points = path.points(len(rows))
        count = points.shape[1]
        shape[:, 0] = self._total_points + count * np.arange(len(rows))
        shape[:, 1] = count
        shape[:, 2] = len(self._commands)
        shape[:, 3] = len(path.commands)
        self._total_points += count * len(rows)
        self._points.append(points.reshape(-1, 2))
        self._commands += path.commands
        self._rows.append(rows)
        self._shapes.append(shape)
        self._values.append(values)

    def draw(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 images N×3×H×W and uint8 part labels N×H×W. Needs the native library."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")
        first = np.searchsorted(rows[order], np.arange(self.images + 1))
        return draw(
            torch.from_numpy(np.concatenate(self._points)),
            torch.tensor(self._commands, dtype=torch.uint8),
            torch.from_numpy(np.concatenate(self._shapes)[order]),
            torch.from_numpy(np.concatenate(self._values)[order]),
            torch.from_numpy(first.astype(np.int64)),
            height,
            width,
        )


@dataclass
class Pen:
    """Adds the same shapes to several images, each with its own coordinates and colours."""

    target: DisplayList
    rows: np.ndarray
    affine: np.ndarray

    def take(self, chosen: np.ndarray) -> Pen:
        """The pen for some of its rows (indices or a boolean mask)."""
        return Pen(self.target, self.rows[chosen], self.affine[chosen])

    def fill(self, path: Path, paint: Paint | None = None, **options: Any) -> None:
        """Options: part (label), inside / outside / store (clip slots), opacity."""
        self._add(FILL, path, paint, **options)

    def stroke(
        self,
        path: Path,
        paint: Paint,
        width: Values,
        end: Values | None = None,
        feather: Values = 0.0,
        **options: Any,
    ) -> None:
        """A line with round ends whose width goes from ``width`` to ``end``; ``feather`` softens its edge."""
        self._add(
            STROKE, path, paint, width=(width, width if end is None else end), feather=feather, **options
        )

    def _add(
        self,
        kind: int,
        path: Path,
        paint: Paint | None,
        *,
        part: int = -1,
        inside: int = -1,
        outside: int = -1,
        store: int = -1,
        opacity: Values = 1.0,
        width: tuple[Values, Values] = (0.0, 0.0),
        feather: Values = 0.0,
    ) -> None:
        if len(self.rows) == 0:
            return
        shape = np.empty((len(self.rows), SHAPE_COLUMNS), np.int32)
        shape[:, 4:] = (kind, part, inside, outside, store, paint.kind if paint else NO_PAINT)
        values = np.zeros((len(self.rows), VALUE_COLUMNS), np.float32)
        values[:, :6] = self.affine
        values[:, 6], values[:, 7], values[:, 8], values[:, 9] = *width, feather, opacity
        if paint is not None:
            _write_paint(values, paint)
        self.target.add(self.rows, path, shape, values)


def _write_paint(values: np.ndarray, paint: Paint) -> None:
    values[:, 10] = paint.ease
    for i, value in enumerate(paint.geometry):
        values[:, 11 + i] = value
    for i in range(MAX_STOPS):
        offset, colour, alpha = paint.stops[min(i, len(paint.stops) - 1)]
        column = 17 + 5 * i
        values[:, column] = offset
        values[:, column + 1 : column + 4] = colour
        values[:, column + 4] = alpha


def draw(
    points: torch.Tensor,
    commands: torch.Tensor,
    shapes: torch.Tensor,
    values: torch.Tensor,
    image_first: torch.Tensor,
    height: int,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The native operator, on contiguous CPU tensors.

    points P×2 float32, commands uint8, shapes S×10 int32, values S×37 float32, image_first N+1 int64
    → images uint8 N×3×H×W and parts uint8 N×H×W. RuntimeError where the display list is inconsistent.
    """
    _load()
    return torch.ops.stylemap.raster(points, commands, shapes, values, image_first, height, width)


def _load() -> None:
    from stylemap.ops import _native

    reason = _native.why_missing("cpu")
    if reason is not None:
        raise RuntimeError(f"drawing needs the native library, which is not there: {reason}")
