"""Paths whose coordinates are numbers or arrays with one entry per image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Values: TypeAlias = "np.ndarray | float"  # one number for all rows, or one per row

MOVE, LINE, QUADRATIC, CUBIC, CLOSE = range(5)
_CIRCLE = 0.5522847498  # control distance with which a cubic follows a quarter of a circle


class Path:
    """A path under construction: every method appends and returns the path."""

    def __init__(self) -> None:
        self.commands: list[int] = []
        self.xs: list[Values] = []
        self.ys: list[Values] = []

    def _add(self, command: int, *coordinates: Values) -> Path:
        self.commands.append(command)
        self.xs += coordinates[0::2]
        self.ys += coordinates[1::2]
        return self

    def move(self, x: Values, y: Values) -> Path:
        """Begin a subpath at (x, y)."""
        return self._add(MOVE, x, y)

    def line(self, x: Values, y: Values) -> Path:
        """A straight line to (x, y)."""
        return self._add(LINE, x, y)

    def quad(self, x1: Values, y1: Values, x: Values, y: Values) -> Path:
        """A quadratic Bézier curve to (x, y) with the control point (x1, y1)."""
        return self._add(QUADRATIC, x1, y1, x, y)

    def cubic(self, x1: Values, y1: Values, x2: Values, y2: Values, x: Values, y: Values) -> Path:
        """A cubic Bézier curve to (x, y) with the control points (x1, y1) and (x2, y2)."""
        return self._add(CUBIC, x1, y1, x2, y2, x, y)

    def close(self) -> Path:
        """A straight line back to where the subpath began."""
        return self._add(CLOSE)

    def ellipse(self, cx: Values, cy: Values, rx: Values, ry: Values | None = None) -> Path:
        """A clockwise subpath; a circle where ``ry`` is left out."""
        ry = rx if ry is None else ry
        kx, ky = rx * _CIRCLE, ry * _CIRCLE
        self.move(cx + rx, cy)
        self.cubic(cx + rx, cy + ky, cx + kx, cy + ry, cx, cy + ry)
        self.cubic(cx - kx, cy + ry, cx - rx, cy + ky, cx - rx, cy)
        self.cubic(cx - rx, cy - ky, cx - kx, cy - ry, cx, cy - ry)
        self.cubic(cx + kx, cy - ry, cx + rx, cy - ky, cx + rx, cy)
        return self.close()

    def mirror(self, axis: Values) -> Path:
        """Closes a single open subpath by its reflection at the line x = ``axis``, drawn backwards."""
        xs = [2 * axis - x for x in reversed(self.xs)]
        ys = list(reversed(self.ys))
        commands = list(reversed(self.commands[1:]))
        self.line(xs[0], ys[0])
        self.commands += commands
        self.xs += xs[1:]
        self.ys += ys[1:]
        return self.close()

    def shift(self, dx: Values, dy: Values) -> Path:
        """A moved copy."""
        copy = Path()
        copy.commands = list(self.commands)
        copy.xs = [x + dx for x in self.xs]
        copy.ys = [y + dy for y in self.ys]
        return copy

    def points(self, rows: int) -> np.ndarray:
        """float32, rows × points × 2."""
        out = np.empty((rows, len(self.xs), 2), np.float32)
        for i, (x, y) in enumerate(zip(self.xs, self.ys, strict=True)):
            out[:, i, 0] = x
            out[:, i, 1] = y
        return out


def smooth(points: list[tuple[Values, Values]], *, closed: bool = True, tension: float = 1 / 6) -> Path:
    """A smooth curve through the points (Catmull-Rom as cubics; at tension 0 straight lines)."""
    count = len(points)
    path = Path().move(*points[0])
    for i in range(count if closed else count - 1):
        before, here = points[i - 1] if closed or i else points[0], points[i]
        there = points[(i + 1) % count]
        after = points[(i + 2) % count] if closed or i + 2 < count else there
        path.cubic(
            here[0] + (there[0] - before[0]) * tension,
            here[1] + (there[1] - before[1]) * tension,
            there[0] - (after[0] - here[0]) * tension,
            there[1] - (after[1] - here[1]) * tension,
            *there,
        )
    return path.close() if closed else path
