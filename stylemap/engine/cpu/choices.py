"""Which algorithm every convolution of the CPU plan uses.

Those of stride 1 are Winograd F(M × M, 3 × 3). A larger M multiplies less, amplifies rounding more and
has more weights to fetch: at the lowest resolutions, where few tiles share the weights, a small M wins.
The others have one algorithm (csrc/kernels/conv2d/scheme.h).
"""

from __future__ import annotations

from collections.abc import Callable

from stylemap.engine.cpu.layers import Choice
from stylemap.engine.cpu.shapes import BLOCK, CHANNELS, Mode, Shape, round_up
from stylemap.engine.cpu.tuning import Timings

PRECISIONS = ("fp32", "bf16")

_PRODUCTS = {False: 200e9, True: 350e9}  # multiply-adds per second of two cores, float and bfloat16
_MEMORY = 35e9  # bytes per second

# What stays float32 in "bf16". The first layers are small, and everything after them inherits their errors:
# they are a quarter of the error of a decode at 256 (1.4e-2 with them in bfloat16, 1.0e-2 without), half of
# it at 1024 (2.9e-2, 1.5e-2), for 1.5 % of the time. Narrow layers take the time of their transforms, and
# few channels average little rounding away.
_EARLY = 4
_NARROW = 32


def chooser(precision: str, timings: Timings, tune: bool) -> Choice:
    """The fastest by ``timings``, which ``tune`` completes by measuring; else the fastest by estimate."""

    def choose(name: str, inputs: int, outputs: int, side: int) -> tuple[int, bool]:
        bf16 = precision == "bf16" and inputs >= _NARROW and not _early(name)
        if side == 0:
            return 2, bf16
        # F(6) only in float32, and only for maps, which meet its rounding once: errors do not add up.
        tiles = (2, 4, 6) if precision == "fp32" and name.startswith("maps") else (2, 4)
        channels = round_up(inputs, CHANNELS), round_up(outputs, BLOCK)
        shapes = [Shape(Mode.PLAIN, tile, bf16, *channels, 1, side) for tile in tiles]
        if tune:
            timings.measure(shapes)
        return min(shapes, key=_cost(shapes, timings)).tile, bf16

    return choose


def _early(name: str) -> bool:
    """The first layers of the decoder and of the stylecodes: "main.0" … "main.3", "codes.0" … "codes.3"."""
    part, _, number = name.partition(".")
    return part in ("main", "codes") and int(number) < _EARLY


def _cost(shapes: list[Shape], timings: Timings) -> Callable[[Shape], float]:
    """Seconds as measured where all are, as estimated otherwise."""
    known = {shape: timing.seconds for shape in shapes if (timing := timings.get(shape))}
    return known.__getitem__ if len(known) == len(shapes) else _estimate


def _estimate(shape: Shape) -> float:
    """Products, or the weights' way from memory where that takes longer; they overlap in part."""
    products = shape.products / _PRODUCTS[shape.bf16]
    weights = shape.weight_bytes / _MEMORY
    return max(products, weights) + 0.25 * min(products, weights)
