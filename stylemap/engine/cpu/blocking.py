"""The sizes of a convolution, which algorithm it takes, and how its work is cut."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stylemap import program
from stylemap.program import Conv, Part

PRECISIONS = ("fp32", "bf16")

BLOCK = 32  # output channels the kernels compute together (kBlock in csrc/kernels/conv2d/kernels.h)
CHANNELS = 16  # input channels are padded to a multiple of this (kChannels); gammas and betas alternate by it

#: ConvMode of csrc/kernels/conv2d/conv2d.h.
MODES = {program.Mode.PLAIN: 0, program.Mode.UP: 1, program.Mode.DOWN: 2}
PLAIN, UP, DOWN = 0, 1, 2

_PACKED = 10 << 20  # bytes of transformed weights that the third-level cache of two cores keeps
_PRODUCTS = {False: 200e9, True: 350e9}  # multiply-adds per second of two cores, float and bfloat16
_MEMORY = 35e9  # bytes per second

# What stays float32 in "bf16". The first layers are small, and everything after them inherits their errors:
# they are a quarter of the error of a decode at 256 (1.4e-2 with them in bfloat16, 1.0e-2 without), half of
# it at 1024 (2.9e-2, 1.5e-2), for 1.5 % of the time. Narrow layers take the time of their transforms, and
# few channels average little rounding away.
_EARLY = 4
_NARROW = 32


@dataclass(frozen=True)
class Blocking:
    """``shared``: all threads work on the same group of ``tiles`` tiles; else each on its own ``tiles``."""

    shared: bool
    tiles: int


@dataclass(frozen=True)
class Shape:
    """A convolution ``inputs`` → ``outputs`` on a side × side grid (DOWN: of its outputs)."""

    mode: int
    tile: int
    bf16: bool
    inputs: int
    outputs: int
    batch: int
    side: int

    @property
    def tiles(self) -> int:
        """How many there are in all images of the batch."""
        return self.batch * (-(-self.side // self.tile)) ** 2

    @property
    def products(self) -> int:
        """Multiply-adds."""
        per_tile = 25 if self.mode != PLAIN else (self.tile + 2) ** 2
        return self.tiles * per_tile * self.inputs * self.outputs

    @property
    def weight_bytes(self) -> int:
        """Of the transformed weights."""
        rows = {PLAIN: (self.tile + 2) ** 2, UP: 16, DOWN: 25}[self.mode]
        return rows * self.inputs * self.outputs * self._size

    def tap_bytes(self, half: bool = False) -> int:
        """Of the weights as they are, in float16 or in float32."""
        return 9 * self.inputs * self.outputs * (2 if half else 4)

    @property
    def input_bytes(self) -> int:
        """Of one transformed tile."""
        planes = {PLAIN: (self.tile + 2) ** 2, UP: 9, DOWN: 25}[self.mode]
        return planes * round_up(self.inputs, CHANNELS) * self._size

    @property
    def product_bytes(self) -> int:
        """Of one tile before it is transformed back, all outputs."""
        planes = {PLAIN: (self.tile + 2) ** 2, UP: 25, DOWN: 9}[self.mode]
        return planes * round_up(self.outputs, BLOCK) * 4

    @property
    def _size(self) -> int:
        return 2 if self.bf16 else 4


def round_up(value: int, to: int) -> int:
    """The smallest multiple of ``to`` that is not below ``value``."""
    return (value + to - 1) // to * to


def in_bf16(layer: Conv, precision: str) -> bool:
    """Whether a layer's products are bfloat16."""
    early = layer.part in (Part.MAIN, Part.CODES) and layer.index < _EARLY
    return precision == "bf16" and layer.inputs >= _NARROW and not early


def tile_of(layer: Conv, outputs: int, precision: str) -> int:
    """M of Winograd F(M × M, 3 × 3), the estimated fastest.

    A larger M multiplies less, amplifies rounding more and has more weights to fetch: at the lowest
    resolutions, where few tiles share the weights, a small M wins. Layers that double or halve the side have
    one algorithm (csrc/kernels/conv2d/scheme.h).

    Args:
        outputs: channels as they are packed.
    """
    if layer.mode is not program.Mode.PLAIN:
        return 2
    # F(6) only in float32, and only for maps, which meet its rounding once: errors do not add up.
    tiles = (2, 4, 6) if precision == "fp32" and layer.part is Part.MAPS else (2, 4)
    channels = round_up(layer.inputs, CHANNELS), round_up(outputs, BLOCK)
    bf16 = in_bf16(layer, precision)
    return min(tiles, key=lambda tile: _estimate(Shape(PLAIN, tile, bf16, *channels, 1, layer.side)))


def _estimate(shape: Shape) -> float:
    """Seconds for the products, or for the weights' way from memory where that takes longer; they overlap
    in part.
    """
    products = shape.products / _PRODUCTS[shape.bf16]
    weights = shape.weight_bytes / _MEMORY
    return max(products, weights) + 0.25 * min(products, weights)


def keeps_taps(shape: Shape, half: bool = False) -> bool:
    """Whether the weights are transformed at each use, by all threads together, instead of once. half: they
    can be kept in float16.
    """
    return shape.weight_bytes > max(_PACKED, shape.tap_bytes(half))


def keeps_half(largest: float) -> bool:
    """Whether taps for products in bfloat16 may be kept in float16: its 11 bits are 3 more than those which
    transformed weights are rounded to. largest: magnitude; far below it float16 has fewer bits, 2^-25 at the
    least of these bounds, where bfloat16 rounds the largest by more.
    """
    return 2.0**-10 <= largest <= 2.0**15


def blocking_of(shape: Shape, taps: bool = False) -> Blocking:
    """A good cut: every thread on its own where enough transformed tiles fit into the second-level cache and
    the weights into the third; else large groups, which read the weights rarely. taps: the weights are
    transformed at each use, by all threads together.
    """
    per_tile = shape.input_bytes + shape.product_bytes
    if shape.mode == UP:
        return Blocking(True, max(32, min(round_up(shape.tiles, 4), (8 << 20) // per_tile // 4 * 4)))
    alone = min(28, (1 << 20) // shape.input_bytes // 4 * 4)
    enough = shape.tiles >= 4 * alone * torch.get_num_threads()
    if alone >= 24 and not taps and shape.weight_bytes <= _PACKED and enough:
        return Blocking(False, alone)
    return Blocking(True, max(32, min(round_up(shape.tiles, 4), (48 << 20) // per_tile // 4 * 4)))
