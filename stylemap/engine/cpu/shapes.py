"""The sizes of a convolution and how its work can be cut: what choices and measurements are about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch

BLOCK = 32  # output channels the kernels compute together (kBlock in csrc/kernels/conv2d/kernels.h)
CHANNELS = 16  # input channels are padded to a multiple of this (kChannels); gammas and betas alternate by it


class Mode(IntEnum):
    """ConvMode of csrc/kernels/conv2d/conv2d.h: of stride 1; doubling, then blur; blur, then halving."""

    PLAIN = 0
    UP = 1
    DOWN = 2


@dataclass(frozen=True)
class Blocking:
    """``shared``: all threads work on the same group of ``tiles`` tiles; else each on its own ``tiles``."""

    shared: bool
    tiles: int

    def __str__(self) -> str:
        return f"{'groups of' if self.shared else 'each'} {self.tiles}"


@dataclass(frozen=True)
class Shape:
    """A convolution ``inputs`` → ``outputs`` on a side × side grid (kDown: of its outputs)."""

    mode: Mode
    tile: int
    bf16: bool
    inputs: int
    outputs: int
    batch: int
    side: int

    def __str__(self) -> str:
        kind = f"F({self.tile})" if self.mode == Mode.PLAIN else self.mode.name.lower()
        dtype = "bf16" if self.bf16 else "fp32"
        return f"{kind} {dtype} {self.inputs}→{self.outputs} at {self.batch}×{self.side}²"

    @property
    def tiles(self) -> int:
        return self.batch * (-(-self.side // self.tile)) ** 2

    @property
    def products(self) -> int:
        """Multiply-adds."""
        per_tile = 25 if self.mode != Mode.PLAIN else (self.tile + 2) ** 2
        return self.tiles * per_tile * self.inputs * self.outputs

    @property
    def weight_bytes(self) -> int:
        rows = {Mode.PLAIN: (self.tile + 2) ** 2, Mode.UP: 16, Mode.DOWN: 25}[self.mode]
        return rows * self.inputs * self.outputs * self._size

    @property
    def input_bytes(self) -> int:
        """Of one transformed tile."""
        planes = {Mode.PLAIN: (self.tile + 2) ** 2, Mode.UP: 9, Mode.DOWN: 25}[self.mode]
        return planes * round_up(self.inputs, CHANNELS) * self._size

    @property
    def product_bytes(self) -> int:
        """Of one tile before it is transformed back, all outputs."""
        planes = {Mode.PLAIN: (self.tile + 2) ** 2, Mode.UP: 25, Mode.DOWN: 9}[self.mode]
        return planes * round_up(self.outputs, BLOCK) * 4

    @property
    def _size(self) -> int:
        return 2 if self.bf16 else 4


def round_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def default_blocking(shape: Shape) -> Blocking:
    """A good cut without measuring: every thread on its own where enough transformed tiles fit into the
    second-level cache and the weights into the third; else large groups, which read the weights rarely.
    """
    per_tile = shape.input_bytes + shape.product_bytes
    if shape.mode == Mode.UP:
        return Blocking(True, max(32, min(round_up(shape.tiles, 4), (8 << 20) // per_tile // 4 * 4)))
    alone = min(28, (1 << 20) // shape.input_bytes // 4 * 4)
    enough = shape.tiles >= 4 * alone * torch.get_num_threads()
    if alone >= 24 and shape.weight_bytes <= 10 << 20 and enough:
        return Blocking(False, alone)
    return Blocking(True, max(32, min(round_up(shape.tiles, 4), (48 << 20) // per_tile // 4 * 4)))


def candidates(shape: Shape) -> list[Blocking]:
    """Cuts worth measuring, the default first."""
    default = default_blocking(shape)
    cuts = [default]
    if shape.mode != Mode.UP:
        alone = [tiles for tiles in (12, 28, 56) if tiles * shape.input_bytes <= 3 << 19]
        cuts += [Blocking(False, tiles) for tiles in alone if shape.tiles >= 2 * tiles]
    # 100 MB are the most that one convolution should ask for.
    per_tile = shape.input_bytes + shape.product_bytes
    groups = [tiles for tiles in (64, 128, 256, 512, 1024, 2048) if tiles * per_tile <= 100 << 20]
    cuts += [Blocking(True, tiles) for tiles in groups if tiles < 2 * shape.tiles]
    return list(dict.fromkeys(cuts))
