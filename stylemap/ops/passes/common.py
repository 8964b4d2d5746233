"""What the passes share: their result, checks, the choice of an implementation, shapes for tracing."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylemap.ops import _backend, _native
from stylemap.ops._checks import check_input, match
from stylemap.ops._statistics import compute_dtype, grouped, groups_of, moments, spread, statistics_shape

SLOPE = 0.2
EPS = 1e-5
NO_STATISTICS = -1


class Result(NamedTuple):
    """A feature map, and its mean and 1 / sqrt(var + eps) for the next norm: N x groups (BatchNorm2d: C).

    Without a next norm the two are empty.
    """

    y: Tensor
    mean: Tensor
    rstd: Tensor


def check(x: Tensor, **others: Tensor | None) -> None:
    """Same dtype and device everywhere, and no gradient expected: the passes have none."""
    check_input(x)
    tensors = {"x": x, **{name: t for name, t in others.items() if t is not None}}
    for name, tensor in tensors.items():
        if name != "x":
            match(tensor, x, name)
        if tensor.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"{name} requires a gradient, but this pass is for inference: use torch.no_grad()"
            )


def groups_for(next_norm: str | None, channels: int) -> int:
    """The native operators' number of groups, `NO_STATISTICS` without a next norm."""
    return NO_STATISTICS if next_norm is None else groups_of(next_norm, channels)


def native(x: Tensor) -> bool:
    """Whether to call the native pass; raises RuntimeError where it was asked for and there is none."""
    if not _backend.use_native(x):
        return False
    key = "CUDA" if x.is_cuda else x.device.type.upper()
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key("stylemap::conv_act", key)
    if not has_kernel and _backend.requested() == "native":
        raise RuntimeError(
            f"the native backend was asked for, but the passes have no {x.device.type} kernels"
        )
    return bool(has_kernel)


def plain(x: Tensor, implementation: str) -> bool:
    """Whether to compute in plain PyTorch.

    Raises:
        RuntimeError: there are no native passes for x, and one of their implementations was asked for.
    """
    if native(x):
        return False
    if implementation != "auto":
        raise RuntimeError(
            f"implementation {implementation!r} was asked for, but there are no native passes "
            f"for {x.device.type} here"
        )
    return True


def with_statistics(y: Tensor, next_norm: str | None, eps: float) -> Result:
    """The statistics of a result in a pass of their own."""
    if next_norm is None:
        empty = y.new_empty(0, dtype=compute_dtype(y))
        return Result(y, empty, empty)
    mean, var = moments(y, next_norm)
    return Result(y, mean, torch.rsqrt(var + eps))


def neutral(x: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """Statistics with which a norm leaves x as it is: zeros and ones, as `Result` has them."""
    zeros = x.new_zeros(statistics_shape(x, groups_of(normalize, x.shape[1])), dtype=compute_dtype(x))
    return zeros, torch.ones_like(zeros)


def normalised(x: Tensor, mean: Tensor, rstd: Tensor, groups: int) -> Tensor:
    """(x - mean) * rstd, in the dtype of the statistics."""
    xhat = (grouped(x, groups) - spread(mean, groups)) * spread(rstd, groups)
    return xhat.reshape(x.shape)


@cache
def skip_filter(device: torch.device) -> Tensor:
    """The blur of an upsampled skip, 4 x 4 with gain 4."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device)
    return torch.outer(taps, taps) / 16


def _like(x: Tensor, channels: int, height: Any, width: Any) -> Tensor:
    shape = (x.shape[0], channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _statistics_like(y: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (0,) if groups == NO_STATISTICS else statistics_shape(y, groups)
    dtype = compute_dtype(y)
    return y, y.new_empty(shape, dtype=dtype), y.new_empty(shape, dtype=dtype)


@_native.fake("conv_act")
def _fake_conv_act(
    x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor | None, stride: int, padding: int,
    negative_slope: float, gain: float, groups: int, eps: float, tile: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    height, width = ((n + 2 * padding - weight.shape[2]) // stride + 1 for n in x.shape[2:])
    return _statistics_like(_like(x, weight.shape[0], height, width), groups)


@_native.fake("join_moments")
def _fake_join_moments(partials: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    shape = (partials.shape[0], 1)
    return partials.new_empty(shape), partials.new_empty(shape)


@_native.fake("transposed_conv")
def _fake_transposed_conv(x: Tensor, weight: Tensor, tile: int) -> Tensor:
    return _like(x, weight.shape[0], 2 * x.shape[2] + 1, 2 * x.shape[3] + 1)


@_native.fake("conv_rows_")
def _fake_conv_rows(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, rows: Tensor) -> None:
    return None


@_native.fake("conv_rows_group_")
def _fake_conv_rows_group(*lists: Any) -> None:
    return None


@_native.fake("modulate_conv")
def _fake_modulate_conv(x: Tensor, *rest: Any) -> Tensor:
    return _like(x, *x.shape[1:])


@_native.fake("apply_modulation")
def _fake_apply_modulation(x: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(x)


@_native.fake("blur_act")
def _fake_blur_act(
    x: Tensor, filter: Tensor, bias: Tensor | None, padding: list[int], negative_slope: float, gain: float,
    groups: int, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    height = x.shape[2] + padding[2] + padding[3] - filter.shape[0] + 1
    width = x.shape[3] + padding[0] + padding[1] - filter.shape[1] + 1
    return _statistics_like(_like(x, x.shape[1], height, width), groups)


@_native.fake("skip_add")
def _fake_skip_add(x: Tensor, skip: Tensor, filter: Tensor, gain: float, groups: int, eps: float) -> Any:
    return _statistics_like(_like(x, *x.shape[1:]), groups)


@_native.fake("modulated_rgb")
def _fake_modulated_rgb(x: Tensor, gamma: Tensor, beta: Tensor, *rest: Any) -> Tensor:
    return beta.new_empty(beta.shape)
