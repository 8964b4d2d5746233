"""The kernels. Rows of a product are output pixels, columns output channels, its depth taps x channels.

Activations are channels_last, weights [out, taps, channels], so that a step along the depth is the next
BLOCK_K elements of a weight row, and one tap's next channels of a pixel. Tiles do not straddle samples: a
sample's address is 64 bits wide, offsets within it and within the weights 32, which saves registers.
"""

# Triton's language is not Python's types.
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_pixels(pixels, width, row_tiles, BLOCK_M: tl.constexpr):
    """Sample, pixel indices within it, their rows and columns of this program's tile."""
    tile = tl.program_id(0)
    sample = tile // row_tiles
    pixel = tile % row_tiles * BLOCK_M + tl.arange(0, BLOCK_M)
    return sample, pixel, pixel // width, pixel % width


@triton.jit
def load_patch(
    x, sample, in_y, in_x, inside, height, width, step,
    CHANNELS: tl.constexpr, KERNEL: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """BLOCK_M x BLOCK_K of the patches: the step-th BLOCK_K channels, tap after tap; zero outside."""
    STEPS: tl.constexpr = CHANNELS // BLOCK_K
    tap = step // STEPS
    channel = step % STEPS * BLOCK_K + tl.arange(0, BLOCK_K)
    y = in_y + tap // KERNEL
    z = in_x + tap % KERNEL
    valid = inside & (y >= 0) & (y < height) & (z >= 0) & (z < width)
    first = x + sample.to(tl.int64) * height * width * CHANNELS
    offset = (y * width + z) * CHANNELS
    return tl.load(first + (offset[:, None] + channel[None, :]), mask=valid[:, None], other=0.0)


@triton.jit
def load_weight(weight, column, columns, step, DEPTH: tl.constexpr, BLOCK_K: tl.constexpr):
    """BLOCK_K x BLOCK_N of the weights."""
    depth = step * BLOCK_K + tl.arange(0, BLOCK_K)
    offset = column[None, :] * DEPTH + depth[:, None]
    return tl.load(weight + offset, mask=(column < columns)[None, :], other=0.0)


@triton.jit
def upsampled_skip(skip, sample, row, line, column, columns, height, width, valid):
    """The skip of half the size at output pixels, upsampled by two with the taps 1, 3, 3, 1."""
    total = tl.zeros(valid.shape, tl.float32)
    for tap in tl.static_range(4):
        y = row // 2 + (row % 2 * 2 - 1) * (tap // 2)
        x = line // 2 + (line % 2 * 2 - 1) * (tap % 2)
        inside = (y >= 0) & (y < height // 2) & (x >= 0) & (x < width // 2)
        offset = ((sample.to(tl.int64) * (height // 2) + y) * (width // 2) + x) * columns
        value = tl.load(skip + offset[:, None] + column[None, :], mask=valid & inside[:, None], other=0.0)
        weight = (0.75 - 0.5 * (tap // 2)) * (0.75 - 0.5 * (tap % 2))
        total += weight * value.to(tl.float32)
    return total


@triton.jit
def conv_act(
    x, weight, bias, skip, y, partials,
    height, width, out_height, out_width, columns, row_tiles, negative_slope, gain,
    CHANNELS: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,
    HAS_BIAS: tl.constexpr, SKIP_SCALE: tl.constexpr, HAS_PARTIALS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """y = leaky_relu(conv(x) + bias) * gain (+ skip); partials: [samples, chunks] of count, mean, M2.

    SKIP_SCALE: 0 for no skip, 1 for one of the output's size, 2 for one of half its height and width.
    """
    pixels = out_height * out_width
    sample, pixel, row, line = tile_pixels(pixels, out_width, row_tiles, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = pixel < pixels
    in_y, in_x = row * STRIDE - PADDING, line * STRIDE - PADDING
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    DEPTH: tl.constexpr = KERNEL * KERNEL * CHANNELS
    for step in range(DEPTH // BLOCK_K):
        a = load_patch(x, sample, in_y, in_x, inside, height, width, step, CHANNELS, KERNEL, BLOCK_K)
        b = load_weight(weight, column, columns, step, DEPTH, BLOCK_K)
        total = tl.dot(a, b, total)
    if HAS_BIAS:
        total += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]
    total = tl.where(total > 0, total, total * negative_slope) * gain
    valid = inside[:, None] & (column < columns)[None, :]
    first = sample.to(tl.int64) * pixels * columns
    if SKIP_SCALE:
        # As the unfused result would have been stored.
        total = total.to(y.dtype.element_ty).to(tl.float32)
    if SKIP_SCALE == 1:
        at = skip + first + ((pixel * columns)[:, None] + column[None, :])
        total += tl.load(at, mask=valid, other=0.0).to(tl.float32)
    if SKIP_SCALE == 2:
        total += upsampled_skip(skip, sample, row, line, column, columns, out_height, out_width, valid)
    stored = total.to(y.dtype.element_ty)
    tl.store(y + first + ((pixel * columns)[:, None] + column[None, :]), stored, mask=valid)
    if HAS_PARTIALS:
        value = stored.to(tl.float32)
        rows = tl.minimum(BLOCK_M, pixels - tl.program_id(0) % row_tiles * BLOCK_M)
        count = (rows * tl.minimum(BLOCK_N, columns - tl.program_id(1) * BLOCK_N)).to(tl.float32)
        mean = tl.sum(tl.where(valid, value, 0.0)) / count
        deviation = tl.where(valid, value - mean, 0.0)
        at = partials + (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * 3
        tl.store(at, count)
        tl.store(at + 1, mean)
        tl.store(at + 2, tl.sum(deviation * deviation))


@triton.jit
def transposed_conv(
    x, weight, y,
    height, width, columns, row_tiles,
    CHANNELS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """y = 3 x 3 transposed convolution of stride 2; the third axis of programs is the phase of the output.

    Pixel (2 m + odd_y, 2 n + odd_x) of the output takes input (m - i, n - j) times a tap: of an even line
    taps 0 and 2, of an odd one tap 1.
    """
    odd_y, odd_x = tl.program_id(2) // 2, tl.program_id(2) % 2
    phase_width = width + 1 - odd_x
    pixels = (height + 1 - odd_y) * phase_width
    sample, pixel, row, line = tile_pixels(pixels, phase_width, row_tiles, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside, has_column = pixel < pixels, column < columns
    first = x + sample.to(tl.int64) * height * width * CHANNELS
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    STEPS: tl.constexpr = CHANNELS // BLOCK_K
    across = 2 - odd_x
    for step in range((2 - odd_y) * across * STEPS):
        tap, channel = step // STEPS, step % STEPS * BLOCK_K + tl.arange(0, BLOCK_K)
        i, j = tap // across, tap % across
        in_y, in_x = row - i, line - j
        valid = inside & (in_y >= 0) & (in_y < height) & (in_x >= 0) & (in_x < width)
        at = (in_y * width + in_x) * CHANNELS
        a = tl.load(first + (at[:, None] + channel[None, :]), mask=valid[:, None], other=0.0)
        index = (odd_y + (1 - odd_y) * 2 * i) * 3 + odd_x + (1 - odd_x) * 2 * j
        taps = column[None, :] * (9 * CHANNELS) + (index * CHANNELS + channel)[:, None]
        b = tl.load(weight + taps, mask=has_column[None, :], other=0.0)
        total = tl.dot(a, b, total)
    out_width = 2 * width + 1
    to = sample.to(tl.int64) * (2 * height + 1) * out_width * columns
    at = ((2 * row + odd_y) * out_width + 2 * line + odd_x) * columns
    valid = inside[:, None] & has_column[None, :]
    tl.store(y + to + (at[:, None] + column[None, :]), total.to(y.dtype.element_ty), mask=valid)


@triton.jit
def modulate_conv(
    x, style, gamma_weight, gamma_bias, beta_weight, beta_bias, mean, rstd, y,
    height, width, columns, row_tiles,
    CHANNELS: tl.constexpr, GROUPS: tl.constexpr, GROUP_CHANNELS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """y = (x - mean) * rstd * gamma + beta; gamma and beta, convolutions of style, share its patches."""
    pixels = height * width
    sample, pixel, row, line = tile_pixels(pixels, width, row_tiles, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = pixel < pixels
    gamma = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    beta = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    DEPTH: tl.constexpr = 9 * CHANNELS
    for step in range(DEPTH // BLOCK_K):
        a = load_patch(style, sample, row - 1, line - 1, inside, height, width, step, CHANNELS, 3, BLOCK_K)
        gamma = tl.dot(a, load_weight(gamma_weight, column, columns, step, DEPTH, BLOCK_K), gamma)
        beta = tl.dot(a, load_weight(beta_weight, column, columns, step, DEPTH, BLOCK_K), beta)
    has_column = column < columns
    gamma += tl.load(gamma_bias + column, mask=has_column, other=0.0).to(tl.float32)[None, :]
    beta += tl.load(beta_bias + column, mask=has_column, other=0.0).to(tl.float32)[None, :]
    if GROUPS == 1:  # a number each, not one per column: registers are short
        shift, scale = tl.load(mean + sample), tl.load(rstd + sample)
    else:
        # GROUPS is 0 where all samples share their statistics, one per channel.
        statistic = sample * GROUPS + column // GROUP_CHANNELS
        shift = tl.load(mean + statistic, mask=has_column, other=0.0)[None, :]
        scale = tl.load(rstd + statistic, mask=has_column, other=0.0)[None, :]
    valid = inside[:, None] & has_column[None, :]
    first = sample.to(tl.int64) * pixels * columns
    at = (pixel * columns)[:, None] + column[None, :]
    value = tl.load(x + first + at, mask=valid, other=0.0).to(tl.float32)
    result = (value - shift) * scale * gamma + beta
    tl.store(y + first + at, result.to(y.dtype.element_ty), mask=valid)
