"""What a session keeps of an image on a CPU: of its stylecodes and maps the blocks that edits have read.

An edit reads all maps of its original, but of a reference only those under its mask, and of either only the
stylecodes around the borders of masks. Each grid of cells is made block by block when it is needed, and its
values have the same bits as if it were made at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena, empty_on_huge_pages, empty_on_small_pages
from stylemap.engine.cpu.cells import Blocks, Cells, block_side, blocks_read, convolve_blocks
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.images import Image
from stylemap.program.ring import Indices

# Up to this side all stylecodes are made at once: the others follow from the last of them.
_CODES_SIDE = 64
# Up to this side all maps are made at once: reading the weights takes longer than multiplying a few cells.
_MAPS_SIDE = 32
# Values that are rounded at once.
_ROUNDED = 1 << 20


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
        """Of ``count`` bytes; with ``reuse`` in what `Maker.gone` kept."""


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
        self._float32: list[Tensor] = []
        self._lent: Stored | None = None

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

    @property
    def float32_bytes(self) -> int:
        """Of the maps in float32, beyond what their image has in the cache."""
        kept = self._lent.map_bytes if self._lent is not None else 0
        return sum(each.nbytes for each in self._float32) - kept

    def new(self, image: Image) -> Stored:
        """An image's coarse stylecodes, and nothing else yet."""
        self._room(self.new_bytes, False)
        grids = [empty_on_small_pages(*shape, dtype=torch.float32) for shape in self.code_shapes]
        nothing: list[Tensor | None] = [None] * len(grids)
        coarse: list[Tensor | None] = [grid.view(-1, grid.shape[3]) for grid in grids[: self._coarse]]
        self._plan.write(image.w, coarse + nothing[self._coarse :], nothing)
        codes = [
            Cells(grid, block_side(conv, grid.shape[1], _CODES_SIDE), made=index < self._coarse)
            for index, (grid, conv) in enumerate(zip(grids, self._codes, strict=True))
        ]
        maps = [
            Cells(empty_on_small_pages(*shape, dtype=self._dtype), block_side(conv, shape[1], _MAPS_SIDE))
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
        self._room(self._bytes(missing), True)
        made = {index: self._memory(index) for index in missing}
        self._write(image, made)
        self._check_range(made.values())
        for index, target in made.items():
            image.maps[index] = Cells(target, image.maps[index].block, made=True)

    def lend(self, image: Stored) -> list[Tensor]:
        """All maps of an original in float32, each 1×r×r×M, for edits that change them and take that back.

        They have the values of the cache's type, and are the cache's own: where its type is another one, that
        of one image at a time.
        """
        if self._dtype == torch.float32:
            self.complete(image)
            return [each.values for each in image.maps]
        if self._lent is image:
            return self._float32
        self.take_back()
        missing = [index for index, each in enumerate(image.maps) if not each.whole]
        self._room(self._bytes(missing), False)
        buffers = self._buffers()
        self._write(image, {index: buffers[index] for index in missing})
        for buffer, grid in zip(buffers, image.maps, strict=True):
            if grid.whole:
                buffer.copy_(grid.values)
                continue
            for part in buffer.view(-1).split(_ROUNDED):
                part.copy_(part.to(self._dtype))
        self._check_range(buffers)
        for index, grid in enumerate(image.maps):
            image.maps[index] = Cells(buffers[index], grid.block, made=True, itemsize=self._dtype.itemsize)
        self._lent = image
        return buffers

    def take_back(self) -> None:
        """Put what has been lent into the cache's type again."""
        image, self._lent = self._lent, None
        if image is None:
            return
        for index, grid in enumerate(image.maps):
            kept = self._memory(index).copy_(grid.values)
            image.maps[index] = Cells(kept, grid.block, made=True)

    def in_float32(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same maps where they are in float32, else copies, good until the next ones; nothing is lent."""
        if self._dtype == torch.float32:
            return maps
        assert self._lent is None
        return [buffer.copy_(each) for buffer, each in zip(self._buffers(), maps, strict=True)]

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
            self._make_codes(arena, image, index, blocks_read(conv, target, missing, code))
            self._fill(arena, conv, code, target, missing)

    def gone(self, image: Stored, keep: bool) -> None:
        """An image is no longer kept; ``keep``: the memory of its maps may be, for the next original."""
        if image is self._lent:
            self._lent = None
        elif keep and image.ready:
            self._spare = {index: each.values for index, each in enumerate(image.maps)}

    def forget(self) -> None:
        """Keep no memory of maps of images that are gone."""
        self._spare = {}

    def cleared(self) -> None:
        """All images are gone: keep no memory at all."""
        self._spare, self._float32, self._lent = {}, [], None

    def _bytes(self, indices: Sequence[int]) -> int:
        """Of the maps of these stylecodes."""
        return sum(math.prod(self.map_shapes[index]) for index in indices) * self._dtype.itemsize

    def _memory(self, index: int) -> Tensor:
        spare = self._spare.pop(index, None)
        return empty_on_huge_pages(*self.map_shapes[index], dtype=self._dtype) if spare is None else spare

    def _buffers(self) -> list[Tensor]:
        if not self._float32:
            self._float32 = [empty_on_huge_pages(*shape, dtype=torch.float32) for shape in self.map_shapes]
        return self._float32

    def _write(self, image: Stored, targets: Mapping[int, Tensor]) -> None:
        """The whole maps of some stylecodes."""
        if targets:
            maps = [targets.get(index) for index in range(len(image.maps))]
            known = [code.values for code in image.codes[: self._coarse]]
            self._plan.write(image.w, [None] * len(maps), maps, known=known)

    def _make_codes(self, arena: Arena, image: Stored, index: int, wanted: Blocks) -> None:
        target, conv = image.codes[index], self._codes[index]
        missing = wanted & ~target.made
        if missing.any():
            before = image.codes[index - 1]
            self._make_codes(arena, image, index - 1, blocks_read(conv, target, missing, before))
            self._fill(arena, conv, before, target, missing)

    def _fill(self, arena: Arena, conv: Convolution, source: Cells, target: Cells, missing: Blocks) -> None:
        """Convolve what is missing; the source has been made where that reads it."""
        self._room(target.cost(missing), False)
        for written in convolve_blocks(arena, conv, source, target, missing):
            self._check_range([written])
        target.mark(missing)

    def _check_range(self, parts: Iterable[Tensor]) -> None:
        """Raises ValueError for values that float16 could not hold, where the maps are in that."""
        # The extremes are NaN where any value is; looking at every value takes twenty times longer.
        checked = parts if self._dtype == torch.float16 else ()
        if not all(bool(extreme.isfinite()) for part in checked for extreme in part.aminmax()):
            raise ValueError(
                "this model's maps leave the range of fp16: use cache_precision 'bf16' or 'fp32'"
            )
