"""Paste and ring for a GPU: what `ring.layout` says for tiles of one cell, fast on the host.

A GPU makes an image while a CPU looks for the borders of a mask, so only the box around the masks is looked
at, and in NumPy, whose calls cost least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylemap.engine.reference import CellMask
from stylemap.engine.ring import Pattern

Indices = NDArray[np.int64]
_Bool = NDArray[np.bool_]
_Labels = NDArray[np.int32]

#: The ring reaches one cell beyond a mask, what it reads one further; one more is of one kind all around.
_MARGIN = 3


@dataclass(frozen=True)
class Region:
    """Cells y·r + x that blend the same references."""

    cells: Indices
    pattern: Pattern


@dataclass(frozen=True)
class CellLayout:
    """``paste``: where maps are blends of maps; ``ring``: where they are convolved; ``inputs``: the cells
    which that reads; ``changed``: all that is pasted or convolved.
    """

    paste: list[Region]
    ring: Indices
    inputs: list[Region]
    changed: Indices


@dataclass(frozen=True)
class _Box:
    """Rows top … bottom − 1, columns left … right − 1 of a side × side frame."""

    side: int
    top: int
    bottom: int
    left: int
    right: int

    def cells(self, where: _Bool) -> Indices:
        """The numbers in the frame of what is on in the box."""
        inside = np.flatnonzero(where)
        rows, columns = np.divmod(inside, self.right - self.left)
        return (rows + self.top) * self.side + (columns + self.left)

    def of(self, mask: CellMask) -> _Bool:
        on: _Bool = mask.on.numpy()
        return on[self.top : self.bottom, self.left : self.right]


def layout(masks: Sequence[CellMask], opaque: bool) -> CellLayout:
    """The layout of an edit; ``opaque``: with weight 1, when the last reference hides those below it."""
    box = _around(masks)
    if box is None:
        nothing: Indices = np.zeros(0, dtype=np.int64)
        return CellLayout([], nothing, [], nothing)
    labels, patterns = _label(masks, box, opaque)
    ring = _mixed(labels) | _padded_differently(labels, patterns, masks, box)
    edited = labels != 0
    return CellLayout(
        paste=_regions(labels, edited & ~ring, patterns, box),
        ring=box.cells(ring),
        inputs=_regions(labels, _dilate(ring), patterns, box),
        changed=box.cells(edited | ring),
    )


def overlap(masks: Sequence[CellMask]) -> bool:
    """Whether any cell is on in two masks."""
    found = [mask for mask in masks if mask.any]
    box = _around(found)
    if box is None or len(found) < 2:
        return False
    covered = box.of(found[0]).copy()
    for mask in found[1:]:
        on = box.of(mask)
        if bool((covered & on).any()):
            return True
        covered |= on
    return False


def _around(masks: Sequence[CellMask]) -> _Box | None:
    """The box around all that is on, and a margin."""
    found = [mask.on.numpy() for mask in masks if mask.any]
    if not found:
        return None
    side = found[0].shape[0]
    lines = [np.flatnonzero(on.any(1)) for on in found]
    columns = [np.flatnonzero(on.any(0)) for on in found]
    top, left = (int(min(each[0] for each in ends)) - _MARGIN for ends in (lines, columns))
    bottom, right = (int(max(each[-1] for each in ends)) + _MARGIN + 1 for ends in (lines, columns))
    return _Box(side, max(top, 0), min(bottom, side), max(left, 0), min(right, side))


def _label(masks: Sequence[CellMask], box: _Box, opaque: bool) -> tuple[_Labels, list[Pattern]]:
    """The number of every cell's pattern; number 0 is the empty one."""
    labels: _Labels = np.zeros((box.bottom - box.top, box.right - box.left), dtype=np.int32)
    patterns: list[Pattern] = [()]
    for number, mask in enumerate(masks, start=1):
        if not mask.any:
            continue
        on = box.of(mask)
        if opaque:
            labels[on] = len(patterns)
            patterns.append((number,))
            continue
        combined = labels + len(patterns) * on
        used = np.bincount(combined.ravel(), minlength=2 * len(patterns)) > 0
        used[0] = True
        labels = (used.cumsum() - 1).astype(np.int32)[combined]
        both = patterns + [(*pattern, number) for pattern in patterns]
        patterns = [pattern for pattern, kept in zip(both, used, strict=True) if kept]
    return labels, patterns


def _mixed(labels: _Labels) -> _Bool:
    """Where any cell in the 3 × 3 around a cell has another label."""
    across = labels[:, 1:] != labels[:, :-1]
    in_row = np.zeros(labels.shape, dtype=np.bool_)
    in_row[:, 1:] |= across
    in_row[:, :-1] |= across
    down = labels[1:] != labels[:-1]
    mixed = in_row.copy()
    mixed[1:] |= in_row[:-1] | down
    mixed[:-1] |= in_row[1:] | down
    return mixed


def _padded_differently(
    labels: _Labels, patterns: list[Pattern], masks: Sequence[CellMask], box: _Box
) -> _Bool:
    """Cells at a border of the frame that show something moved across the direction of that border."""
    sideways = np.array([any(masks[number - 1].shift[0] for number in p) for p in patterns])
    vertical = np.array([any(masks[number - 1].shift[1] for number in p) for p in patterns])
    found = np.zeros(labels.shape, dtype=np.bool_)
    for at_frame, edge in ((box.left == 0, 0), (box.right == box.side, -1)):
        if at_frame:
            found[:, edge] |= sideways[labels[:, edge]]
    for at_frame, edge in ((box.top == 0, 0), (box.bottom == box.side, -1)):
        if at_frame:
            found[edge] |= vertical[labels[edge]]
    return found


def _dilate(cells: _Bool) -> _Bool:
    """Grown by one cell in all eight directions."""
    wide = cells.copy()
    wide[:, 1:] |= cells[:, :-1]
    wide[:, :-1] |= cells[:, 1:]
    result = wide.copy()
    result[1:] |= wide[:-1]
    result[:-1] |= wide[1:]
    return result


def _regions(labels: _Labels, where: _Bool, patterns: list[Pattern], box: _Box) -> list[Region]:
    cells, found = box.cells(where), labels[where]
    if len(patterns) == 2 and len(found) and found.all():
        return [Region(cells, patterns[1])]
    regions = [Region(cells[found == number], pattern) for number, pattern in enumerate(patterns)]
    return [region for region in regions if len(region.cells)]
