"""Edits of the maps of one image, in place and taken back afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.cells import convolve_tiles
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.stored import Maker, Stored
from stylemap.engine.images import EditReference
from stylemap.engine.renderer import Stage
from stylemap.program import ring
from stylemap.program.ring import CellMask


@dataclass(frozen=True, eq=False)
class Undo:
    """What an edit has overwritten: rows of the maps of one stylecode."""

    rows: Tensor
    cells: Tensor
    before: Tensor
    stage: Stage

    def __call__(self) -> None:
        """Put the rows back."""
        with self.stage("blend"):
            self.rows.index_copy_(0, self.cells, self.before)


class Region(NamedTuple):
    """As `ring.Region`, with a tensor."""

    cells: Tensor
    pattern: ring.Pattern


class Layout:
    """As `ring.Layout`, with tensors."""

    def __init__(self, layout: ring.Layout) -> None:
        self.paste, self.inputs = (
            [Region(torch.from_numpy(region.cells), region.pattern) for region in regions]
            for regions in (layout.paste, layout.inputs)
        )
        self.tiles = torch.from_numpy(layout.tiles).to(torch.int32)
        self.changed = torch.from_numpy(layout.changed)


class Layouts:
    """The layouts of one set of references, each made once."""

    def __init__(self, references: Sequence[EditReference], stage: Stage) -> None:
        self.stage = stage
        self._references = references
        self._made: dict[tuple[int, int, bool], Layout] = {}

    def masks(self, side: int) -> list[CellMask]:
        """Of the references in order, at side × side cells."""
        return [reference.cells[side] for reference in self._references]

    def get(self, side: int, tile: int, opaque: bool) -> Layout:
        """The layout in tiles of ``tile`` cells; opaque: see `ring.layout`."""
        key = side, tile, opaque
        if key not in self._made:
            with self.stage("mask"):
                self._made[key] = Layout(ring.layout(self.masks(side), tile=tile, opaque=opaque))
        return self._made[key]


@dataclass(frozen=True, eq=False)
class Sources:
    """What an edit reads of one stylecode: of the original and the references, in order.

    ``maps``: of the original, 1×r×r×M in float32, all of them. ``maker`` makes what else is missing.
    """

    maker: Maker
    index: int
    images: Sequence[Stored]
    maps: Tensor

    def codes(self) -> list[Tensor]:
        """Of every image, (r·r)×C."""
        return [image.codes[self.index].rows for image in self.images]

    def rows(self) -> list[Tensor]:
        """Maps of every image, (r·r)×M."""
        return [_rows(self.maps), *(image.maps[self.index].rows for image in self.images[1:])]

    def make(self, arena: Arena, layout: Layout, masks: Sequence[CellMask], weight: float) -> None:
        """Make the maps that are pasted, and the codes that are convolved."""
        for regions, make in ((layout.paste, self.maker.maps), (layout.inputs, self.maker.codes)):
            for region in regions:
                for image in ring.coefficients(region.pattern, weight):
                    if image or regions is layout.inputs:
                        cells = region.cells - _moved(masks, image, self.maps.shape[1])
                        make(arena, self.images[image], self.index, cells.numpy())


class CodeEdit:
    """The edit of one stylecode's maps, with any weight; in place.

    ``conv``: the convolution that makes the maps; those of the original in ``sources`` are changed.

    Where no masks overlap, every weight's maps are a lerp of the original's and the full edit's. Where
    some do, blending in order makes them a polynomial, and each weight is done by itself.
    """

    def __init__(self, conv: Convolution, layouts: Layouts, sources: Sources) -> None:
        self._conv = conv
        self._layouts = layouts
        self._sources = sources
        self._side = sources.maps.shape[1]
        self._masks = layouts.masks(self._side)
        self._overlap = ring.overlap(self._masks)
        self._full: tuple[Undo, Tensor] | None = None

    def apply(self, arena: Arena, weight: float, again: bool) -> Undo:
        """Edit the maps; ``again``: other weights will follow."""
        with self._layouts.stage("blend"):
            return self._apply(arena, weight, again)

    def _apply(self, arena: Arena, weight: float, again: bool) -> Undo:
        if self._overlap or (weight == 1 and not again):
            return self._write(arena, weight)
        if self._full is None:
            undo = self._write(arena, 1.0)
            self._full = undo, undo.rows.index_select(0, undo.cells)
        undo, after = self._full
        undo.rows.index_copy_(0, undo.cells, torch.lerp(undo.before, after, weight))
        return undo

    def _write(self, arena: Arena, weight: float) -> Undo:
        layout = self._layouts.get(self._side, self._conv.tile, weight == 1)
        self._sources.make(arena, layout, self._masks, weight)
        maps = self._sources.rows()
        rows = maps[0]
        undo = Undo(rows, layout.changed, rows.index_select(0, layout.changed), self._layouts.stage)
        # All that is copied is read before anything is written: a reference may be the original itself.
        pasted = [self._blend(maps, region, weight) for region in layout.paste]
        try:
            for region, values in zip(layout.paste, pasted, strict=True):
                rows.index_copy_(0, region.cells, values)
            if len(layout.tiles):
                self._convolve(arena, layout, weight)
        except BaseException:
            undo()
            raise
        return undo

    def _convolve(self, arena: Arena, layout: Layout, weight: float) -> None:
        """The listed tiles of the maps, from the blended codes around them; other codes stay unwritten."""
        codes = self._sources.codes()
        code = arena.take(1, self._side, self._side, codes[0].shape[1])
        for region in layout.inputs:
            _rows(code).index_copy_(0, region.cells, self._blend(codes, region, weight))
        with self._layouts.stage("modulation"):
            convolve_tiles(self._conv, arena, code, layout.tiles, self._sources.maps)
        arena.give(code)

    def _blend(self, images: Sequence[Tensor], region: Region, weight: float) -> Tensor:
        return blend_rows(images, self._masks, region, weight, self._side)


def blend_rows(
    images: Sequence[Tensor], masks: Sequence[CellMask], region: Region, weight: float, side: int
) -> Tensor:
    """Rows of a region, float32: the blend of the images' rows (cells × channels), moved by their shifts."""
    total: Tensor | None = None
    for image, part in ring.coefficients(region.pattern, weight).items():
        rows = images[image].index_select(0, region.cells - _moved(masks, image, side)).float()
        if total is None:
            total = rows if part == 1 else rows.mul_(part)
        else:
            total.add_(rows, alpha=part)
    assert total is not None
    return total


def _moved(masks: Sequence[CellMask], image: int, side: int) -> int:
    """How far the cells y·side + x of an image lie from where they are read; 0 for the original."""
    dx, dy = masks[image - 1].shift if image else (0, 0)
    return dy * side + dx


def _rows(maps: Tensor) -> Tensor:
    """(r·r)×M of 1×r×r×M, the same memory."""
    return maps.view(-1, maps.shape[-1])
