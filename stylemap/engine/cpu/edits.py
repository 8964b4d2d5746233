"""Edits of the maps of one image, in place: what differs from the last edit is pasted and convolved."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.cells import Difference, Painted, convolve_tiles, gathered, parts
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.stored import Maker, Stored
from stylemap.engine.images import EditReference
from stylemap.engine.renderer import Stage
from stylemap.program import ring
from stylemap.program.ring import CellMask, Indices, Labels, Region


class Layouts:
    """The labels of one set of references, each made once."""

    def __init__(self, references: Sequence[EditReference], stage: Stage) -> None:
        self.stage = stage
        self.references = references
        self._made: dict[tuple[int, int, bool], Labels | None] = {}

    def masks(self, side: int) -> list[CellMask]:
        """Of the references in order, at side × side cells."""
        return [reference.cells[side] for reference in self.references]

    def get(self, side: int, tile: int, opaque: bool) -> Labels | None:
        """For tiles of ``tile`` cells; opaque: see `ring.layout`."""
        key = side, tile, opaque
        if key not in self._made:
            with self.stage("mask"):
                self._made[key] = ring.labels(self.masks(side), tile=tile, opaque=opaque)
        return self._made[key]


class Original:
    """An original whose maps edits change, each 1×r×r×M in float32; until `restore`, they are not its own.

    Args:
        dtype: that its values have been rounded to.
    """

    def __init__(self, image: Stored, maps: list[Tensor], dtype: torch.dtype) -> None:
        self.image = image
        self.maps = maps
        self.indices: dict[int, list[int]] = {}  # stylecodes by side
        for index, each in enumerate(maps):
            self.indices.setdefault(each.shape[1], []).append(index)
        self.painted = {
            side: Painted([maps[index] for index in indices], dtype) for side, indices in self.indices.items()
        }

    @property
    def bytes(self) -> int:
        """Of the rows that are saved."""
        return sum(each.bytes for each in self.painted.values())

    def restore(self, arena: Arena) -> None:
        """Make the maps its own again."""
        for each in self.painted.values():
            each.restore(arena)


@dataclass(frozen=True, eq=False)
class Making:
    """What makes parts of maps. ``ring``: the convolutions for few tiles, of every stylecode."""

    maker: Maker
    ring: Sequence[Convolution]


class MapsEdit:
    """The edit of an original's maps, with any weight; in place.

    ``images``: of the original and the references, in order.

    Where no masks overlap and all references have one weight, every weight's maps are a lerp of the
    original's and the full edit's. Else blending in order makes them a polynomial.
    """

    def __init__(
        self, original: Original, layouts: Layouts, images: Sequence[Stored], making: Making
    ) -> None:
        self._original = original
        self._layouts = layouts
        self._images = images
        self._making = making
        self._itself = any(image is original.image for image in images[1:])
        self._full: dict[int, list[Tensor]] = {}

    def apply(
        self, arena: Arena, weight: float, keys: Sequence[Hashable], first: int = 0, again: bool = False
    ) -> None:
        """Edit the maps of stylecode ``first`` and those after it.

        Args:
            keys: of every stylecode, equal for equal maps.
            again: other weights will follow.
        """
        with self._layouts.stage("blend"):
            for side, indices in self._original.indices.items():
                if indices[-1] >= first:
                    self._side(arena, side, weight, keys[indices[0]], again)

    def _side(self, arena: Arena, side: int, weight: float, key: Hashable, again: bool) -> None:
        painted, masks = self._original.painted[side], self._layouts.masks(side)
        if side in self._full:
            self._fade(arena, side, weight)
        elif not weight or not any(mask.any for mask in masks):
            painted.restore(arena)
        elif painted.key is None or painted.key != key or again:
            weights = [weight * reference.weight for reference in self._layouts.references]
            one = len(set(weights)) == 1 and not ring.overlap(masks)
            if one and again:
                self._write(arena, side, 1.0, [1.0] * len(weights), None)
                self._keep(side)
                self._fade(arena, side, weight)
            elif one:
                self._write(arena, side, weights[0], [1.0] * len(weights), key)
            else:
                self._write(arena, side, 1.0, weights, key)

    def _write(self, arena: Arena, side: int, fade: float, weights: Sequence[float], key: Hashable) -> None:
        """Make the maps those of references with these weights, and a lerp of the original's and them."""
        painted, indices = self._original.painted[side], self._original.indices[side]
        tile = self._making.ring[indices[0]].tile
        labels = self._layouts.get(side, tile, all(each == 1 for each in weights))
        assert labels is not None
        if self._itself:
            painted.restore(arena)
        try:
            blends = [self._blend_key(side, pattern, weights, fade) for pattern in labels.patterns[1:]]
            todo = painted.begin(arena, labels, blends, tile)
            for at, index in enumerate(indices):
                Writing(self._making, painted, at, index, self._images, self._layouts, weights).write(
                    arena, todo, fade, self._itself
                )
            painted.finish(key)
        except BaseException:
            painted.restore(arena)
            raise

    def _blend_key(self, side: int, pattern: ring.Pattern, weights: Sequence[float], fade: float) -> Hashable:
        masks, references = self._layouts.masks(side), self._layouts.references
        parts = [
            (image, part) if not image else (references[image - 1].image.number, masks[image - 1].shift, part)
            for image, part in ring.coefficients(pattern, weights).items()
        ]
        return (fade, *parts)

    def _keep(self, side: int) -> None:
        """What has been written, of weight 1, for other weights."""
        painted = self._original.painted[side]
        cells = torch.from_numpy(painted.changed())
        self._full[side] = [rows.index_select(0, cells) for rows in painted.rows]

    def _fade(self, arena: Arena, side: int, weight: float) -> None:
        """From what was kept, at one weight of all references."""
        painted = self._original.painted[side]
        painted.unknown()
        cells = painted.changed()
        weight *= self._layouts.references[0].weight
        for at, (rows, after) in enumerate(zip(painted.rows, self._full[side], strict=True)):
            done = 0
            for part in parts(cells, rows):
                values = painted.before(arena, at, part)
                if weight:
                    torch.lerp(values, after[done : done + len(part)], weight, out=values)
                rows.index_copy_(0, torch.from_numpy(part), values)
                arena.give(values)
                done += len(part)


@dataclass(frozen=True, eq=False)
class Writing:
    """What is written into the maps of stylecode ``index``, number ``at`` of those in ``painted``."""

    making: Making
    painted: Painted
    at: int
    index: int
    images: Sequence[Stored]
    layouts: Layouts
    weights: Sequence[float]

    def write(self, arena: Arena, todo: Difference, fade: float, itself: bool) -> None:
        """The difference; itself: the original is one of the references."""
        self._make(arena, todo)
        pasted = self._pasted(arena, todo)
        rows = self.painted.rows[self.at]
        # What is copied from the original itself is read before anything is written.
        for cells, values in list(pasted) if itself else pasted:
            rows.index_copy_(0, cells, values)
            arena.give(values)
        if len(todo.tiles):
            self._convolve(arena, todo)
        if fade != 1:
            for part in parts(todo.cells, rows):
                cells = torch.from_numpy(part)
                before, after = self.painted.before(arena, self.at, part), gathered(arena, rows, cells)
                rows.index_copy_(0, cells, torch.lerp(before, after, fade, out=before))
                arena.give(before, after)

    @property
    def _masks(self) -> list[CellMask]:
        return self.layouts.masks(self._side)

    @property
    def _side(self) -> int:
        return self.images[0].maps[self.index].side

    def _make(self, arena: Arena, todo: Difference) -> None:
        """Make the maps that are pasted, and the codes that are convolved."""
        maker = self.making.maker
        for regions, make in ((todo.paste, maker.maps), (todo.inputs, maker.codes)):
            for region in regions:
                for image in ring.coefficients(region.pattern, self.weights):
                    if image or regions is todo.inputs:
                        make(arena, self.images[image], self.index, self._read(region.cells, image))

    def _read(self, cells: Indices, image: int) -> Indices:
        """Where the cells y·side + x lie in an image."""
        dx, dy = self._masks[image - 1].shift if image else (0, 0)
        return cells - (dy * self._side + dx)

    def _pasted(self, arena: Arena, todo: Difference) -> Iterator[tuple[Tensor, Tensor]]:
        rows = [image.maps[self.index].rows for image in self.images]
        for region in todo.paste:
            for part in parts(region.cells, rows[0]):
                yield torch.from_numpy(part), self._blend(arena, rows, part, region, saved=True)

    def _convolve(self, arena: Arena, todo: Difference) -> None:
        """The listed tiles of the maps, from the blended codes around them; other codes stay unwritten."""
        codes = [image.codes[self.index].rows for image in self.images]
        conv, side = self.making.ring[self.index], self._side
        code = arena.take(1, side, side, codes[0].shape[1])
        for region in todo.inputs:
            for part in parts(region.cells, codes[0]):
                values = self._blend(arena, codes, part, region)
                code.view(side * side, -1).index_copy_(0, torch.from_numpy(part), values)
                arena.give(values)
        with self.layouts.stage("modulation"):
            maps = self.painted.rows[self.at].view(1, side, side, -1)
            convolve_tiles(conv, arena, code, todo.tiles, maps)
        arena.give(code)

    def _blend(
        self, arena: Arena, images: Sequence[Tensor], cells: Indices, region: Region, saved: bool = False
    ) -> Tensor:
        """Rows of a region's cells, float32, from the arena: the blend of the images' rows, moved by their
        shifts. saved: those of the original have been written over.
        """
        total: Tensor | None = None
        for image, part in ring.coefficients(region.pattern, self.weights).items():
            if saved and not image:
                rows = self.painted.before(arena, self.at, cells)
            else:
                rows = gathered(arena, images[image], torch.from_numpy(self._read(cells, image)))
            if rows.dtype != torch.float32:
                half, rows = rows, arena.take(*rows.shape).copy_(rows)
                arena.give(half)
            if total is None:
                total = rows if part == 1 else rows.mul_(part)
            else:
                total.add_(rows, alpha=part)
                arena.give(rows)
        assert total is not None
        return total
