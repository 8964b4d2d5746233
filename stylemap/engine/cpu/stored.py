"""What a session keeps of an image on a CPU: of its stylecodes and maps the blocks that edits have read.

An edit reads all maps of its original, but of a reference only those under its mask, and of either only the
stylecodes around the borders of masks. Each grid of cells is made block by block when it is needed, and its
values have the same bits as if it were made at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stylemap.engine.cpu import cells
from stylemap.engine.cpu.arena import Arena, empty_on_huge_pages, empty_on_small_pages
from stylemap.engine.cpu.blocking import UP, round_up
from stylemap.engine.cpu.cells import Blocks, Cells
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.tiles import convolve_tiles
from stylemap.engine.images import Image
from stylemap.program.ring import Indices

# Up to this side all stylecodes are made at once: the others follow from the last of them.
_CODES_SIDE = 64
# Up to this side all maps are made at once: reading the weights takes longer than multiplying a few cells.
_MAPS_SIDE = 32
# Side of a block in cells, about; the larger one from a side of 512 on. A brush that moves makes new blocks
# now and then, and a row of a block takes whole pages at any usual number of channels.
_BLOCK, _LARGE_BLOCK, _LARGE_SIDE = 16, 32, 512
# Of what one convolution reads and writes, in bytes.
_SCRATCH = 32 << 20


class Stored:
    """Stylecodes in float32 and maps in the precision of the cache, one of each for every layer."""

    def __init__(self, w: Tensor, codes: list[Cells], maps: list[Cells]) -> None:
        self.w = w
        self.codes = codes
        self.maps = maps

    @property
    def code_bytes(self) -> int:
        """Memory of the stylecodes that have been made."""
        return sum(each.bytes for each in self.codes)

    @property
    def map_bytes(self) -> int:
        """Memory of the maps that have been made."""
        return sum(each.bytes for each in self.maps)

    @property
    def ready(self) -> bool:
        """Whether all maps have been made."""
        return all(each.whole for each in self.maps)


class Room(Protocol):
    """What is called before more memory is kept."""

    def __call__(self, count: int, reuse: bool) -> None:
        """Of ``count`` bytes; with ``reuse`` in what `Maker.keep` kept."""


class Maker:
    """Makes what is kept of images. Not for several threads at once.

    Args:
        dtype: of the maps.
    """

    def __init__(self, plan: CpuPlan, dtype: torch.dtype, room: Room) -> None:
        self._plan = plan
        self._dtype = dtype
        self._room = room
        self._codes = [plan.convolution(layer) for layer in plan.network.codes]
        self._maps = [plan.convolution(layer) for layer in plan.network.maps]
        shapes = plan.config.stylecode_shapes
        self.code_shapes = [(1, height, width, channels) for channels, height, width in shapes]
        self.map_shapes = [plan.maps_shape(index) for index in range(len(shapes))]
        self._coarse = max(1, sum(side <= _CODES_SIDE for _, side, _ in shapes))
        self._spare: dict[int, Tensor] = {}

    @property
    def entry_bytes(self) -> int:
        """Of everything that can be kept of an image."""
        codes, maps = (sum(map(math.prod, shapes)) for shapes in (self.code_shapes, self.map_shapes))
        return codes * torch.float32.itemsize + maps * self._dtype.itemsize

    @property
    def new_bytes(self) -> int:
        """Of what `new` makes."""
        return sum(map(math.prod, self.code_shapes[: self._coarse])) * torch.float32.itemsize

    @property
    def spare_bytes(self) -> int:
        """Of the maps of an original that is gone, whose memory the next one's take: new memory costs as much
        time as filling it does.
        """
        return sum(each.nbytes for each in self._spare.values())

    def new(self, image: Image) -> Stored:
        """An image's coarse stylecodes, and nothing else yet."""
        self._room(self.new_bytes, False)
        grids = [empty_on_small_pages(*shape, dtype=torch.float32) for shape in self.code_shapes]
        nothing: list[Tensor | None] = [None] * len(grids)
        coarse: list[Tensor | None] = [grid.view(-1, grid.shape[3]) for grid in grids[: self._coarse]]
        self._plan.write(image.w, coarse + nothing[self._coarse :], nothing)
        codes = [
            Cells(grid, _block(conv, grid.shape[1], _CODES_SIDE), made=index < self._coarse)
            for index, (grid, conv) in enumerate(zip(grids, self._codes, strict=True))
        ]
        maps = [
            Cells(empty_on_small_pages(*shape, dtype=self._dtype), _block(conv, shape[1], _MAPS_SIDE))
            for shape, conv in zip(self.map_shapes, self._maps, strict=True)
        ]
        return Stored(image.w, codes, maps)

    def complete(self, image: Stored, indices: Iterable[int] | None = None) -> None:
        """Make all maps of an image, or those of some stylecodes.

        Raises:
            ValueError: values that the type of the maps cannot hold; as all of these do.
        """
        indices = range(len(image.maps)) if indices is None else indices
        missing = [index for index in indices if not image.maps[index].whole]
        if not missing:
            return
        self._room(sum(math.prod(self.map_shapes[i]) * self._dtype.itemsize for i in missing), True)
        targets: list[Tensor | None] = [None] * len(image.maps)
        for index in missing:
            targets[index] = self._memory(index)
        known = [code.values for code in image.codes[: self._coarse]]
        self._plan.write(image.w, [None] * len(targets), targets, known=known)
        made = {index: target for index, target in enumerate(targets) if target is not None}
        _check_range(made.values())
        for index, target in made.items():
            image.maps[index] = Cells(target, image.maps[index].block, made=True)

    def codes(self, arena: Arena, image: Stored, index: int, where: Indices) -> None:
        """Make the stylecode at these cells y·r + x, where it is missing."""
        if not image.codes[index].whole:
            self._make_codes(arena, image, index, image.codes[index].blocks(where))

    def maps(self, arena: Arena, image: Stored, index: int, where: Indices) -> None:
        """Make the maps of a stylecode at these cells y·r + x, where they are missing."""
        target, conv = image.maps[index], self._maps[index]
        if target.whole:
            return
        missing = target.blocks(where) & ~target.made
        if missing.any():
            code = image.codes[index]
            self._make_codes(arena, image, index, _read(conv, target, missing, code))
            self._fill(arena, conv, code, target, missing)

    def keep(self, image: Stored) -> None:
        """Keep the memory of an image's maps, which is no longer needed, for the next original."""
        if image.ready:
            self._spare = {index: each.values for index, each in enumerate(image.maps)}

    def forget(self) -> None:
        """Keep no memory."""
        self._spare = {}

    def _memory(self, index: int) -> Tensor:
        spare = self._spare.pop(index, None)
        return empty_on_huge_pages(*self.map_shapes[index], dtype=self._dtype) if spare is None else spare

    def _make_codes(self, arena: Arena, image: Stored, index: int, wanted: Blocks) -> None:
        target, conv = image.codes[index], self._codes[index]
        missing = wanted & ~target.made
        if missing.any():
            before = image.codes[index - 1]
            self._make_codes(arena, image, index - 1, _read(conv, target, missing, before))
            self._fill(arena, conv, before, target, missing)

    def _fill(self, arena: Arena, conv: Convolution, source: Cells, target: Cells, missing: Blocks) -> None:
        """Convolve what is missing; the source has been made where that reads it."""
        self._room(target.cost(missing), False)
        channels = source.values.shape[3] + target.values.shape[3]
        most = max(1, _SCRATCH // (4 * channels * target.block**2))
        for piece in cells.pieces(missing, most):
            self._convolve(arena, conv, source, target, missing, piece)
        target.mark(missing)

    def _convolve(
        self,
        arena: Arena,
        conv: Convolution,
        source: Cells,
        target: Cells,
        missing: Blocks,
        piece: tuple[slice, slice],
    ) -> None:
        """The missing blocks of one rectangle, of a part of the source with a whole tile around them."""
        up = conv.mode == UP
        block = target.block // 2 if up else target.block
        top, left = (ends.start * block - conv.tile for ends in piece)
        height, width = ((ends.stop - ends.start) * block + 2 * conv.tile for ends in piece)
        part = arena.take(1, height, width, source.values.shape[3])
        cells.cut(source.values[0], top, left, part[0])
        if up:
            made, _ = conv(arena, part)
        else:
            made = arena.take(1, height, width, target.values.shape[3])
            tiles = cells.tiles(missing[piece], block // conv.tile)
            convolve_tiles(conv, arena, part, torch.from_numpy(tiles), made)
        if up:
            top, left = 2 * top, 2 * left
        for rows, columns in cells.rectangles(missing, piece, target):
            values = made[0, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            written = target.values[0, rows, columns].copy_(values)
            _check_range([written])
        arena.give(part, made)


def _block(conv: Convolution, side: int, whole: int) -> int:
    """Side of the blocks of a convolution's results: whole tiles."""
    tile = 4 if conv.mode == UP else conv.tile
    usual = _LARGE_BLOCK if side >= _LARGE_SIDE else _BLOCK
    return round_up(side if side <= whole else usual, tile)


def _read(conv: Convolution, target: Cells, blocks: Blocks, source: Cells) -> Blocks:
    """The blocks of the source that a convolution reads to make blocks of the target."""
    found = np.zeros_like(source.made)
    # The taps reach one cell further; those of an up-convolution are in the tiles beside.
    scale, margin = (2, conv.tile) if conv.mode == UP else (1, 1)
    for place in zip(*blocks.nonzero()):
        ends = []
        for at in place:
            first = int(at) * target.block // scale - margin
            last = min(int(at + 1) * target.block, target.side) // scale + margin
            ends.append(slice(max(first, 0) // source.block, -(-min(last, source.side) // source.block)))
        found[ends[0], ends[1]] = True
    return found


def _check_range(parts: Iterable[Tensor]) -> None:
    """Raises ValueError for values that float16 could not hold."""
    # The extremes are NaN where any value is; looking at every value takes twenty times longer.
    halves = [part for part in parts if part.dtype == torch.float16]
    if not all(bool(extreme.isfinite()) for part in halves for extreme in part.aminmax()):
        raise ValueError("this model's maps leave the range of fp16: use cache_precision 'bf16' or 'fp32'")
