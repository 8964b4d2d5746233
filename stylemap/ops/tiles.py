"""The tiles into which the convolutions of the GPU passes are cut: all there are, in one place.

`autotune` measures which kernel is fastest for a shape; for a kernel of Triton, the size of the product says
which tile it takes. csrc/kernels/implicit_gemm/choice.h chooses where a call names no tile.
"""

from __future__ import annotations

from typing import NamedTuple

#: Of the tensor-core kernels: rows and columns of a block.
TENSOR_CORES = (128, 64)

#: Channels that one step along the depth of a Triton kernel may take.
DEPTHS = (64, 32, 16)


class Tile(NamedTuple):
    """Rows, columns and depth of a block of a Triton kernel, and the options it is compiled with."""

    m: int
    n: int
    k: int
    warps: int
    stages: int

    def fitted(self, channels: int) -> Tile | None:
        """With a depth that divides these channels; None where none does."""
        depth = next((k for k in DEPTHS if k <= self.k and channels % k == 0), None)
        return None if depth is None else self._replace(k=depth)


#: Of `ops.triton`. A warp group per 64 rows; stages of 32 KiB for conv_act. modulate_conv computes n columns
#: of γ and of β each: with the large tile a product of 128 x 256, the shape at which wgmma is busiest.
TRITON_LARGE, TRITON_SMALL = Tile(128, 128, 64, 8, 3), Tile(64, 64, 64, 4, 4)
_ENOUGH = 128  # large tiles, about as many as a GPU has multiprocessors

#: TensorRT measures which of these a plugin takes. The first fits into the 48 KiB of shared memory that every
#: launch may have; the last is for large maps.
PLUGIN = {1: Tile(64, 32, 32, 4, 3), 2: Tile(64, 64, 64, 4, 4), 3: Tile(128, 64, 64, 8, 3)}
#: Of the plugin of rings: few pixels, so that few far from a border are convolved.
PLUGIN_RING = Tile(64, 64, 32, 4, 3)


def triton(samples: int, pixels: int, columns: int, channels: int) -> Tile | None:
    """That of a product of ``samples`` times pixels x columns, from ``channels``; None for odd channels."""
    large = samples * count(pixels, TRITON_LARGE.m) * count(columns, TRITON_LARGE.n)
    return (TRITON_LARGE if large >= _ENOUGH else TRITON_SMALL).fitted(channels)


def count(size: int, tile: int) -> int:
    """Tiles that cover ``size``."""
    return -(-size // tile)
