"""What an edit copies and convolves on a GPU: lists of rows, padded so that few graphs serve all edits.

`ring.layout` says which cells of every resolution are pasted and which are convolved again. Here these
become indices into the tensors of a `RowSpace`, of lengths that depend on a `Level` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stylemap.engine.images import EditReference
from stylemap.program.ring import CellMask, Indices, Layout, Region, coefficients, layout

_AREAS, _BORDERS = 8, 10


class RowSpace:
    """Tensors 1 × C × r × r, channels_last, stacked by width: one tensor rows × C for every C.

    Args:
        widths, sides: C and r of every tensor, by its index.
    """

    def __init__(self, widths: Sequence[int], sides: Sequence[int]) -> None:
        self.sides = list(sides)
        self.widths = list(dict.fromkeys(widths))
        self.kind = [self.widths.index(width) for width in widths]
        self.rows = [0] * len(self.widths)
        self.first = []
        for kind, side in zip(self.kind, self.sides, strict=True):
            self.first.append(self.rows[kind])
            self.rows[kind] += side * side

    @property
    def elements(self) -> int:
        """Values of one image."""
        return sum(rows * width for rows, width in zip(self.rows, self.widths, strict=True))

    def new(self, dtype: torch.dtype, device: torch.device, spare: int = 0) -> list[Tensor]:
        """Memory for one image; ``spare``: rows at the end of every tensor."""
        shapes = zip(self.rows, self.widths, strict=True)
        return [torch.zeros(rows + spare, width, dtype=dtype, device=device) for rows, width in shapes]

    def of(self, tensors: Sequence[Tensor], index: int) -> Tensor:
        """The rows of one index: r² × C, the same memory."""
        first = self.first[index]
        return tensors[self.kind[index]][first : first + self.sides[index] ** 2]

    def image(self, tensors: Sequence[Tensor], index: int) -> Tensor:
        """The same as 1 × C × r × r."""
        side = self.sides[index]
        return self.of(tensors, index).view(1, side, side, -1).permute(0, 3, 1, 2)

    def images(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """All indices, each as `image`."""
        return [self.image(tensors, index) for index in range(len(self.sides))]


@dataclass(frozen=True)
class Level:
    """Room for an edit at every side r: a share of the area to paste, a multiple of the side to convolve.

    Every step doubles the room, so that there are a few dozen levels at most, and a brush of one size
    stays within one or two wherever it is.
    """

    area: int
    border: int

    def paste(self, side: int) -> int:
        """Cells that are pasted, at most."""
        return min(side * side, (side * side >> (_AREAS - self.area)) + 2 * side)

    def ring(self, side: int) -> int:
        """Cells that are convolved, at most."""
        return min(side * side, (side << self.border) + 16)

    def inputs(self, side: int) -> int:
        """The cells around those of the ring too."""
        return min(side * side, 2 * self.ring(side) + 64)

    def changed(self, side: int) -> int:
        """Cells that are pasted or convolved, at most."""
        return min(side * side, self.paste(side) + self.ring(side))

    @staticmethod
    def of(layouts: dict[int, Layout]) -> Level:
        """The smallest with room for the layouts of all sides."""
        area = next(a for a in range(_AREAS + 1) if _fits(layouts, Level(a, _BORDERS)))
        border = next(b for b in range(_BORDERS + 1) if _fits(layouts, Level(_AREAS, b)))
        return Level(area, border)


@dataclass
class Run:
    """Rows that are the same blend: for every image its part, and the rows to take of it."""

    parts: tuple[tuple[int, float], ...]
    to: list[Indices] = field(default_factory=list)
    sources: list[list[Indices]] = field(default_factory=list)


@dataclass(frozen=True)
class Fill:
    """Rows ``start`` to ``stop`` of a stage: the sum over ``parts`` of a part times rows of an image.

    A stage holds what is pasted into one tensor: of the maps by width, then of the codes by width.
    ``at``: for every part, where in `EditRows.packed` its row numbers begin.
    """

    stage: int
    start: int
    stop: int
    parts: tuple[tuple[int, float], ...]
    at: list[int]


class EditRows:
    """The rows of an edit in the tensors of ``codes`` and ``maps``.

    Args:
        weights: of the references in order; where all are 1, the last of them hides those below it.

    ``packed``: int64, first the indices that a graph reads, of `part_sizes`: where pasted maps go, where
    codes go, the maps that change (each by width), the ring (by side); then those of the ``fills``.
    """

    def __init__(
        self,
        codes: RowSpace,
        maps: RowSpace,
        references: Sequence[EditReference],
        weights: Sequence[float],
    ) -> None:
        sides = sorted(set(maps.sides))
        masks = {side: [reference.cells[side] for reference in references] for side in sides}
        layouts = {side: layout(masks[side], opaque=all(weight == 1 for weight in weights)) for side in sides}
        self.level = Level.of(layouts)
        runs = _runs(maps, {r: each.paste for r, each in layouts.items()}, masks, weights)
        runs += _runs(codes, {r: each.inputs for r, each in layouts.items()}, masks, weights)
        lists = [[rows for run in each for rows in run.to] for each in runs]
        lists += _changed(maps, layouts) + [[layouts[side].tiles] for side in sides]
        fillers = [*maps.rows, *codes.rows, *maps.rows] + [-1] * len(sides)
        sizes = part_sizes(codes, maps, self.level)
        self.graph_indices = sum(sizes)
        self.fills, sources = _fills(runs, self.graph_indices)
        self.packed: Indices = np.empty(self.graph_indices + sum(map(len, sources)), dtype=np.int64)
        end = 0
        for rows, size, filler in zip(lists, sizes, fillers, strict=True):
            start = _write(self.packed, end, rows)
            end += size
            self.packed[start:end] = filler
        _write(self.packed, end, sources)


def part_sizes(codes: RowSpace, maps: RowSpace, level: Level) -> list[int]:
    """Lengths of the lists that a graph reads."""
    sizes = _by_width(maps, level.paste) + _by_width(codes, level.inputs) + _by_width(maps, level.changed)
    return sizes + [level.ring(side) for side in sorted(set(maps.sides))]


def _by_width(space: RowSpace, room: Callable[[int], int]) -> list[int]:
    sizes = [0] * len(space.widths)
    for kind, side in zip(space.kind, space.sides, strict=True):
        sizes[kind] += room(side)
    return sizes


def _fits(layouts: dict[int, Layout], level: Level) -> bool:
    return all(
        _count(each.paste) <= level.paste(side)
        and _count(each.inputs) <= level.inputs(side)
        and len(each.tiles) <= level.ring(side)
        for side, each in layouts.items()
    )


def _count(regions: Sequence[Region]) -> int:
    return sum(len(region.cells) for region in regions)


def _runs(
    space: RowSpace,
    regions: dict[int, list[Region]],
    masks: dict[int, list[CellMask]],
    weights: Sequence[float],
) -> list[list[Run]]:
    """By width: the runs of all regions."""
    found: list[dict[tuple[tuple[int, float], ...], Run]] = [{} for _ in space.widths]
    for kind, side, first in zip(space.kind, space.sides, space.first, strict=True):
        for region in regions[side]:
            parts = tuple(coefficients(region.pattern, weights).items())
            run = found[kind].setdefault(parts, Run(parts, sources=[[] for _ in parts]))
            cells = region.cells + first
            run.to.append(cells)
            for sources, (image, _) in zip(run.sources, parts, strict=True):
                dx, dy = masks[side][image - 1].shift if image else (0, 0)
                sources.append(cells - (dy * side + dx))
    return [list(runs.values()) for runs in found]


def _fills(runs: list[list[Run]], at: int) -> tuple[list[Fill], list[Indices]]:
    """What fills every stage, and all row numbers they take, the first of which will be number ``at``."""
    fills, numbers = [], []
    for stage, each in enumerate(runs):
        start = 0
        for run in each:
            length, offsets = sum(map(len, run.to)), []
            for sources in run.sources:
                offsets.append(at)
                numbers += sources
                at += length
            fills.append(Fill(stage, start, start + length, run.parts, offsets))
            start += length
    return fills, numbers


def _changed(space: RowSpace, layouts: dict[int, Layout]) -> list[list[Indices]]:
    found: list[list[Indices]] = [[] for _ in space.widths]
    for kind, side, first in zip(space.kind, space.sides, space.first, strict=True):
        found[kind].append(layouts[side].changed + first)
    return found


def _write(packed: Indices, start: int, lists: list[Indices]) -> int:
    """Put the lists one after the other from ``start`` on; where they end."""
    for rows in lists:
        packed[start : start + len(rows)] = rows
        start += len(rows)
    return start
