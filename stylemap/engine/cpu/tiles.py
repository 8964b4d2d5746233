"""Convolutions of a few tiles."""

from __future__ import annotations

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.blocking import Blocking
from stylemap.engine.cpu.convolution import Convolution


def convolve_tiles(conv: Convolution, arena: Arena, x: Tensor, tiles: Tensor, out: Tensor) -> None:
    """``conv`` of x 1×H×W×C into ``out``, in the listed tiles only (row by row, conv.tile cells wide)."""
    height, width = x.shape[1:3]
    cut = _blocking(conv, len(tiles))
    workspace = conv.workspace(arena, cut, 1, height, width)
    nothing = [None] * 5
    rest = (out, None, workspace, cut.tiles, tiles, *conv.transform)
    torch.ops.stylemap.conv2d(x, conv.packed, conv.bias, conv.slope, conv.mode, *nothing, *rest)
    arena.give(workspace)


def _blocking(conv: Convolution, tiles: int) -> Blocking:
    """One group of all the tiles where the weights are the larger part: they are read once."""
    groups = -(-tiles // 28)
    if conv.taps or conv.bytes > 2 << 20 or groups < torch.get_num_threads():
        return Blocking(True, min(512, max(32, -(-tiles // 4) * 4)))
    return Blocking(False, 28)
