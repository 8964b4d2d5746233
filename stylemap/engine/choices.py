"""Which algorithm every convolution of the CPU plan uses.

All are Winograd F(M × M, 3 × 3). A larger M multiplies less, amplifies rounding more and has more
weights to fetch: at the lowest resolutions, where few tiles share the weights, a small M wins.
"""

from __future__ import annotations

from stylemap.engine.layers import Choice

PRECISIONS = ("fp32", "bf16")

_PRODUCTS = {False: 200e9, True: 350e9}  # multiply-adds per second of two cores, float and bfloat16
_MEMORY = 35e9  # bytes per second


def chooser(precision: str) -> Choice:
    """The choices of "fp32" (F(6) only for γ and β, which meet rounding but once) or "bf16"."""

    def choose(name: str, inputs: int, outputs: int, resolution: int) -> tuple[int, bool]:
        # Narrow layers take the time of their transforms, and few channels average little rounding away.
        bf16 = precision == "bf16" and inputs >= 32
        tiles = (2, 4, 6) if name.startswith("maps") and precision == "fp32" else (2, 4)
        return min(tiles, key=lambda tile: _seconds(tile, inputs, outputs, resolution, bf16)), bf16

    return choose


def _seconds(tile: int, inputs: int, outputs: int, resolution: int, bf16: bool) -> float:
    """Estimated time of one sample: products, or the weights' way from memory where that takes longer."""
    planes, count = (tile + 2) ** 2, (-(-resolution // tile)) ** 2
    products = planes * count * inputs * outputs / _PRODUCTS[bf16]
    weights = planes * inputs * outputs * (2 if bf16 else 4) / _MEMORY
    return max(products, weights) + 0.25 * min(products, weights)
