"""Which elements share a mean and variance, and the operator that computes both.

Native operators take a number of groups per sample instead of a norm's name: 1 for LayerNorm, 8 for
GroupNorm, the number of channels for InstanceNorm2d, 0 for BatchNorm2d (one statistic per channel,
across the batch). Statistics are N x groups, or C for BatchNorm2d, in float32 (float64 for float64 x).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native, reference
from stylemap.ops._backend import use_native
from stylemap.ops._checks import check_input


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype of statistics of ``x``."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def groups_of(normalize: str, channels: int) -> int:
    """The native operators' number of groups for a norm; raises ValueError where it does not apply."""
    if normalize not in reference.NORMALIZE_MODES:
        raise ValueError(
            f"normalize must be one of {', '.join(reference.NORMALIZE_MODES)}, got {normalize!r}"
        )
    if normalize == "GroupNorm":
        if channels % reference.GROUP_NORM_GROUPS:
            raise ValueError(
                f"GroupNorm needs a multiple of {reference.GROUP_NORM_GROUPS} channels, got {channels}"
            )
        return reference.GROUP_NORM_GROUPS
    return {"LayerNorm": 1, "InstanceNorm2d": max(channels, 1), "BatchNorm2d": 0}[normalize]


def grouped(x: Tensor, groups: int) -> Tensor:
    """x as N x groups x C/groups x H x W."""
    n, c, h, w = x.shape
    count = groups or c
    return x.reshape(n, count, c // count, h, w)


def spread(statistic: Tensor, groups: int) -> Tensor:
    """A statistic, N x groups or C, so that it broadcasts against `grouped`."""
    return statistic.reshape(1, -1, 1, 1, 1) if groups == 0 else statistic[:, :, None, None, None]


def statistics_shape(x: Tensor, groups: int) -> tuple[int, ...]:
    return (x.shape[1],) if groups == 0 else (x.shape[0], groups)


def moments(x: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the elements a norm takes together.

    Args:
        x: N x C x H x W, float64, float32, bfloat16 or float16.
        normalize: "LayerNorm", "InstanceNorm2d", "GroupNorm" or "BatchNorm2d".

    Returns:
        Two tensors, N x groups (1, C or 8 groups) or C for BatchNorm2d, in float32 (float64 for float64 x).

    Raises:
        ValueError, TypeError: as `modulate`.
    """
    check_input(x)
    groups = groups_of(normalize, x.shape[1])
    if use_native(x):
        mean, var = torch.ops.stylemap.moments(x, groups)
    else:
        mean, var = reference.moments(x.to(compute_dtype(x)), normalize)
    shape = statistics_shape(x, groups)
    return mean.reshape(shape), var.reshape(shape)


@_native.fake("moments")
def _fake(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    shape, dtype = statistics_shape(x, groups), compute_dtype(x)
    return x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.groups = inputs
    ctx.save_for_backward(x, output[0])


def _backward(ctx: Any, grad_mean: Tensor, grad_var: Tensor) -> tuple[Tensor, None]:
    x, mean = ctx.saved_tensors
    groups = ctx.groups
    deviation = grouped(x, groups) - spread(mean, groups)
    count = x.shape[0] * x.shape[2] * x.shape[3] if groups == 0 else x[0].numel() // groups
    dx = (spread(grad_mean, groups) + 2 * spread(grad_var, groups) * deviation) / count
    return dx.reshape(x.shape).to(x.dtype), None


_native.autograd("moments", _backward, _setup)
