"""Edits of the maps of one image, in place and taken back afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.engine import ring
from stylemap.engine.arena import Arena
from stylemap.engine.cache import Entry
from stylemap.engine.convolution import Blocking, Convolution
from stylemap.engine.plan import CpuPlan
from stylemap.engine.reference import CellMask


@dataclass(frozen=True, eq=False)
class Patch:
    """Cells of one stylecode's maps, what they hold for the original and for the edit; cells × channels."""

    cells: Tensor
    before: Tensor
    after: Tensor

    def apply(self, maps: Tensor, weight: float) -> None:
        _rows(maps).index_copy_(0, self.cells, torch.lerp(self.before, self.after, weight))

    def take_back(self, maps: Tensor) -> None:
        _rows(maps).index_copy_(0, self.cells, self.before)


class CodeEdit:
    """The edit of one stylecode: of original and references, in this order, with any weight.

    ``index``: the stylecode's; ``images``: original and references; ``maps``: the original's maps,
    1×r×r×M float32. They are left as they are.

    Where no masks overlap, every weight's maps are a lerp of the original's and the full edit's. Where
    some do, blending in order makes them a polynomial, and each weight is done by itself.
    """

    def __init__(
        self, plan: CpuPlan, index: int, images: Sequence[Entry], masks: Sequence[CellMask], maps: Tensor
    ) -> None:
        self._plan = plan
        self._conv = plan._map_convolution(index)
        self._masks = masks
        self._maps = maps
        self._code_rows = [image.codes[index] for image in images]
        self._map_rows = [_rows(maps), *(_rows(image.maps[index]) for image in images[1:])]
        self._full: Patch | None = None
        self._layouts: dict[bool, ring.Layout] = {}
        self._overlap = ring.overlap(masks)

    def patch(self, arena: Arena, weight: float) -> tuple[Patch, float]:
        """The change of the maps for a weight, and how much of it to apply."""
        if self._overlap:
            return self._make(arena, weight), 1.0
        if self._full is None:
            self._full = self._make(arena, 1.0)
        return self._full, weight

    def _make(self, arena: Arena, weight: float) -> Patch:
        opaque = weight == 1
        if opaque not in self._layouts:
            self._layouts[opaque] = ring.layout(self._masks, self._conv.tile, opaque)
        layout = self._layouts[opaque]
        rows = self._map_rows[0]
        before = rows.index_select(0, layout.changed)
        # All that is copied is read before anything is written: a reference may be the original itself.
        pasted = [(region, self._blend(self._map_rows, region, weight)) for region in layout.paste]
        try:
            for region, values in pasted:
                rows.index_copy_(0, region.cells, values)
            if len(layout.tiles):
                self._convolve(arena, layout, weight)
            return Patch(layout.changed, before, rows.index_select(0, layout.changed))
        finally:
            rows.index_copy_(0, layout.changed, before)

    def _convolve(self, arena: Arena, layout: ring.Layout, weight: float) -> None:
        """The listed tiles of the maps, from the blended codes around them; other codes stay unwritten."""
        side = self._maps.shape[1]
        code = arena.take(1, side, side, self._code_rows[0].shape[1])
        for region in layout.inputs:
            _rows(code).index_copy_(0, region.cells, self._blend(self._code_rows, region, weight))
        convolve_tiles(self._conv, arena, code, layout.tiles, self._maps)
        arena.give(code)

    def _blend(self, images: Sequence[Tensor], region: ring.Region, weight: float) -> Tensor:
        return ring.blend_rows(images, self._masks, region, weight, self._maps.shape[1])


def convolve_tiles(conv: Convolution, arena: Arena, x: Tensor, tiles: Tensor, out: Tensor) -> None:
    """``conv`` of x 1×H×W×C into ``out``, in the listed tiles only (row by row, conv.tile cells wide)."""
    height, width = x.shape[1:3]
    cut = _blocking(conv, len(tiles))
    workspace = None
    if cut.shared:
        size = torch.ops.stylemap.conv2d_workspace(conv.packed, conv.mode, 1, height, width, cut.tiles)
        workspace = arena.take(size, dtype=torch.uint8)
    nothing = [None] * 5
    torch.ops.stylemap.conv2d(
        x, conv.packed, conv.bias, conv.slope, conv.mode, *nothing, out, None, workspace, cut.tiles, tiles
    )
    arena.give(workspace)


def _blocking(conv: Convolution, tiles: int) -> Blocking:
    """One group of all the tiles where the weights are the larger part: they are read once."""
    groups = -(-tiles // 28)
    if conv.bytes > 2 << 20 or groups < torch.get_num_threads():
        return Blocking(True, min(512, max(32, -(-tiles // 4) * 4)))
    return Blocking(False, 28)


def _rows(maps: Tensor) -> Tensor:
    """(r·r)×M of 1×r×r×M, the same memory."""
    return maps.view(-1, maps.shape[-1])
