"""Launching the Triton kernels; the results are those of the operators of the same names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylemap.ops import tiles
from stylemap.ops._statistics import compute_dtype, moments, statistics_shape
from stylemap.ops.tiles import Tile, count
from stylemap.ops.triton import kernels

#: Of a transposed convolution of stride 2: its output's even and odd lines and columns.
_PHASES = 4
NORM_OF_GROUPS = {0: "BatchNorm2d", 8: "GroupNorm"}


def conv_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    skip: Tensor | None,
    stride: int,
    padding: int,
    negative_slope: float,
    gain: float,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``torch.ops.stylemap.conv_act``. Raises NotImplementedError for shapes it does not take."""
    n, channels, height, width = x.shape
    columns, _, kernel, _ = weight.shape
    out_height, out_width = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
    tile = _tile(n, out_height * out_width, columns, channels, x.dtype)
    x, weight = _last(x), _last(weight)
    y = _new(x, columns, out_height, out_width)
    grid = (n * count(out_height * out_width, tile.m), count(columns, tile.n))
    chunks = grid[0] // max(n, 1) * grid[1]
    partials = torch.empty((n, chunks, 3), dtype=torch.float32, device=x.device) if groups == 1 else None
    skip_scale = 0 if skip is None else 1 if skip.shape[2:] == y.shape[2:] else 2
    if n:
        kernels.conv_act[grid](
            x, weight, bias, None if skip is None else _last(skip), y, partials,
            height, width, out_height, out_width, columns, grid[0] // n, negative_slope, gain,
            CHANNELS=channels, KERNEL=kernel, STRIDE=stride, PADDING=padding,
            HAS_BIAS=bias is not None, SKIP_SCALE=skip_scale, HAS_PARTIALS=partials is not None,
            **_options(tile),
        )  # fmt: skip
    return (y, *_statistics(y, partials, groups, eps))


def modulate_conv(
    x: Tensor,
    style: Tensor,
    gamma_weight: Tensor,
    gamma_bias: Tensor,
    beta_weight: Tensor,
    beta_bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    groups: int,
) -> Tensor:
    """As ``torch.ops.stylemap.modulate_conv``. Raises NotImplementedError for shapes it does not take."""
    n, columns, height, width = x.shape
    channels = style.shape[1]
    tile = _tile(n, height * width, 2 * columns, channels, x.dtype)
    x, y = _last(x), _new(x, columns, height, width)
    row_tiles = count(height * width, tile.m)
    if n:
        kernels.modulate_conv[(n * row_tiles, count(columns, tile.n))](
            x, _last(style), _last(gamma_weight), gamma_bias, _last(beta_weight), beta_bias, mean, rstd, y,
            height, width, columns, row_tiles,
            CHANNELS=channels, GROUPS=groups, GROUP_CHANNELS=columns // (groups or columns),
            **_options(tile),
        )  # fmt: skip
    return y


def transposed_conv(x: Tensor, weight: Tensor) -> Tensor:
    """As ``torch.ops.stylemap.transposed_conv``. Raises NotImplementedError for shapes it does not take."""
    n, channels, height, width = x.shape
    columns = weight.shape[0]
    pixels = (height + 1) * (width + 1)  # of the largest phase
    tile = _tile(n, _PHASES * pixels, columns, channels, x.dtype)
    y = _new(x, columns, 2 * height + 1, 2 * width + 1)
    row_tiles = count(pixels, tile.m)
    if n:
        kernels.transposed_conv[(n * row_tiles, count(columns, tile.n), _PHASES)](
            _last(x), _last(weight), y, height, width, columns, row_tiles,
            CHANNELS=channels, **_options(tile),
        )  # fmt: skip
    return y


def _tile(samples: int, pixels: int, columns: int, channels: int, dtype: torch.dtype) -> Tile:
    if dtype not in (torch.float16, torch.bfloat16):
        raise NotImplementedError(f"Triton convolutions take float16 and bfloat16, not {dtype}")
    tile = tiles.triton(samples, pixels, columns, channels)
    if tile is None:
        raise NotImplementedError(f"Triton convolutions take channels in multiples of 16, not {channels}")
    return tile


def _options(tile: Tile) -> dict[str, Any]:
    sizes = {"BLOCK_M": tile.m, "BLOCK_N": tile.n, "BLOCK_K": tile.k}
    # Said rather than left to a default that changes with Triton's version.
    return {**sizes, "num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}


def _statistics(y: Tensor, partials: Tensor | None, groups: int, eps: float) -> tuple[Tensor, Tensor]:
    if groups < 0:
        return y.new_empty(0, dtype=compute_dtype(y)), y.new_empty(0, dtype=compute_dtype(y))
    if partials is None:
        norm = NORM_OF_GROUPS.get(groups, "InstanceNorm2d")
        mean, var = moments(y, norm)
        return mean.reshape(statistics_shape(y, groups)), torch.rsqrt(var + eps)
    mean, rstd = torch.ops.stylemap.join_moments(partials, eps)
    return mean, rstd


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _new(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = (like.shape[0], channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
