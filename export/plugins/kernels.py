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
    sample, pixel, channel, at, valid = _tile(channels, side, row_tiles, BLOCK_M, BLOCK_N)
    value = _laid_over(
        code, laid, coverage, cells, weights, sample, pixel, channel, at, valid, channels, side, references
    )
    tl.store(y + at, value.to(y.dtype.element_ty), mask=valid)


@triton.jit
def ring(
    code, maps, laid, coverage, cells, weights, border, weight, bias,
    side, columns, row_tiles, references, y,
    CHANNELS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """y = maps with those of the references over them, as `blend`; tiles with a cell on the border are
    convolved from the blended code instead, which is the same in the cells that are not.

    code: [samples, CHANNELS, side, side]; maps, y: [samples, columns, side, side]; laid: [samples,
    references, columns, side, side]; border: [samples, side, side], above 0 where it is; weight: [columns,
    9, CHANNELS]. A tile is BLOCK_N columns of BLOCK_M cells.
    """
    sample, pixel, column, at, valid = _tile(columns, side, row_tiles, BLOCK_M, BLOCK_N)
    pixels = side * side
    inside = pixel < pixels
    near = tl.load(border + sample * pixels + pixel, mask=inside, other=0.0)
    if tl.max(near, 0) > 0:
        row, line = pixel // side, pixel % side
        has_column = (column < columns)[:, None]
        made = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
        DEPTH: tl.constexpr = 9 * CHANNELS
        STEPS: tl.constexpr = CHANNELS // BLOCK_K
        for step in range(DEPTH // BLOCK_K):
            tap, depth = step // STEPS, step % STEPS * BLOCK_K + tl.arange(0, BLOCK_K)
            from_row, from_line = row + tap // 3 - 1, line + tap % 3 - 1
            seen = (inside & (from_row >= 0) & (from_row < side) & (from_line >= 0) & (from_line < side))[
                None, :
            ]
            source = (sample * CHANNELS + depth[:, None]) * pixels + (from_row * side + from_line)[None, :]
            patch = tl.load(code + source, mask=seen, other=0.0)
            taps = column[:, None] * DEPTH + step * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
            made = tl.dot(tl.load(weight + taps, mask=has_column, other=0.0), patch, made)
        made += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[:, None]
        tl.store(y + at, made.to(y.dtype.element_ty), mask=valid)
    else:
        value = _laid_over(
            maps, laid, coverage, cells, weights, sample, pixel, column, at, valid, columns, side, references
        )
        tl.store(y + at, value.to(y.dtype.element_ty), mask=valid)


@triton.jit
def _tile(channels, side, row_tiles, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Sample, pixels and channels of this program, their places [BLOCK_N, BLOCK_M], and which there are."""
    pixels = side * side
    tile = tl.program_id(0)
    sample = (tile // row_tiles).to(tl.int64)
    pixel = tile % row_tiles * BLOCK_M + tl.arange(0, BLOCK_M)
    channel = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    at = (sample * channels + channel[:, None]) * pixels + pixel[None, :]
    return sample, pixel, channel, at, (channel < channels)[:, None] & (pixel < pixels)[None, :]


@triton.jit
def _laid_over(
    image, laid, coverage, cells, weights, sample, pixel, channel, at, valid, channels, side, references
):
    """The tile of an image with the references over it, float32."""
    pixels = side * side
    row, line = pixel // side, pixel % side
    planes = channel[:, None] * pixels
    value = tl.load(image + at, mask=valid, other=0.0).to(tl.float32)
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
    return value
