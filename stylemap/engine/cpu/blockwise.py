"""Convolutions of some blocks of a grid, from another grid that may be there in part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stylemap.engine.cpu import cells
from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.blocking import UP, round_up
from stylemap.engine.cpu.cells import Blocks, Cells
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.tiles import convolve_tiles

# Side of a block in cells, about; the larger one from a side of 512 on. A brush that moves makes new blocks
# now and then, and a row of a block takes whole pages at any usual number of channels.
_BLOCK, _LARGE_BLOCK, _LARGE_SIDE = 16, 32, 512
# Of what one convolution reads and writes, in bytes.
_SCRATCH = 32 << 20


def side(conv: Convolution, grid: int, whole: int) -> int:
    """Of the blocks of a convolution's results in cells, whole tiles; grids up to ``whole`` are one block."""
    tile = 4 if conv.mode == UP else conv.tile
    usual = _LARGE_BLOCK if grid >= _LARGE_SIDE else _BLOCK
    return round_up(grid if grid <= whole else usual, tile)


def read(conv: Convolution, target: Cells, blocks: Blocks, source: Cells) -> Blocks:
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


def convolve(
    arena: Arena, conv: Convolution, source: Cells, target: Cells, missing: Blocks
) -> Iterator[Tensor]:
    """Write the missing blocks of the target, rectangle by rectangle; yields what has been written."""
    channels = source.values.shape[3] + target.values.shape[3]
    most = max(1, _SCRATCH // (4 * channels * target.block**2))
    for piece in cells.pieces(missing, most):
        part, made, top, left = _convolved(arena, conv, source, target, missing, piece)
        for rows, columns in cells.rectangles(missing, piece, target):
            values = made[0, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            yield target.values[0, rows, columns].copy_(values)
        arena.give(part, made)


def _convolved(
    arena: Arena,
    conv: Convolution,
    source: Cells,
    target: Cells,
    missing: Blocks,
    piece: tuple[slice, slice],
) -> tuple[Tensor, Tensor, int, int]:
    """One rectangle: what it reads, with a whole tile around it, the result, and where that begins."""
    up = conv.mode == UP
    block = target.block // 2 if up else target.block
    top, left = (ends.start * block - conv.tile for ends in piece)
    height, width = ((ends.stop - ends.start) * block + 2 * conv.tile for ends in piece)
    part = arena.take(1, height, width, source.values.shape[3])
    cells.cut(source.values[0], top, left, part[0])
    if up:
        return part, conv(arena, part)[0], 2 * top, 2 * left
    made = arena.take(1, height, width, target.values.shape[3])
    tiles = cells.tiles(missing[piece], block // conv.tile)
    convolve_tiles(conv, arena, part, torch.from_numpy(tiles), made)
    return part, made, top, left
