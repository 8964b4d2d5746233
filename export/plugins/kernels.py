"""The kernels with their arguments as TensorRT passes them: inputs, integers, outputs."""

# Triton's language is not Python's types.
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from stylemap.ops.triton.kernels import modulate_conv


@triton.jit
def modulation(
    x, style, gamma_weight, gamma_bias, beta_weight, beta_bias, mean, rstd,
    height, width, columns, row_tiles, y,
    CHANNELS: tl.constexpr, GROUPS: tl.constexpr, GROUP_CHANNELS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """As `modulate_conv`."""
    modulate_conv(
        x, style, gamma_weight, gamma_bias, beta_weight, beta_bias, mean, rstd, y,
        height, width, columns, row_tiles,
        CHANNELS, GROUPS, GROUP_CHANNELS, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip


@triton.jit
def blend(
    code, laid, coverage, cells, weights, channels, side, row_tiles, references, y,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """y = code with the references over it, one after the other, where their moved masks are on.

    code, y: [samples, channels, side, side]; laid: [samples, references, channels, side, side]; coverage:
    [samples, references, side, side], on above 0.5; cells: [samples, references, 2], dx and dy; weights:
    [samples]. A tile is BLOCK_N channels of BLOCK_M cells.
    """
    pixels = side * side
    tile = tl.program_id(0)
    sample = (tile // row_tiles).to(tl.int64)
    pixel = tile % row_tiles * BLOCK_M + tl.arange(0, BLOCK_M)
    channel = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row, line = pixel // side, pixel % side
    planes = channel[:, None] * pixels
    valid = (channel < channels)[:, None] & (pixel < pixels)[None, :]
    at = sample * channels * pixels + planes + pixel[None, :]
    value = tl.load(code + at, mask=valid, other=0.0).to(tl.float32)
    weight = tl.load(weights + sample)
    for reference in range(references):
        layer = sample * references + reference
        from_line = line - tl.load(cells + 2 * layer)
        from_row = row - tl.load(cells + 2 * layer + 1)
        inside = (
            (pixel < pixels) & (from_row >= 0) & (from_row < side) & (from_line >= 0) & (from_line < side)
        )
        source = from_row * side + from_line
        on = inside & (tl.load(coverage + layer * pixels + source, mask=inside, other=0.0) > 0.5)
        taken = layer * channels * pixels + planes + source[None, :]
        other = tl.load(laid + taken, mask=valid & on[None, :], other=0.0).to(tl.float32)
        value = tl.where(on[None, :], value + weight * (other - value), value)
    tl.store(y + at, value.to(y.dtype.element_ty), mask=valid)
