"""Passes without a convolution: one read of their inputs, one write."""

from __future__ import annotations

import torch
from torch import Tensor

from stylemap.ops import reference
from stylemap.ops._statistics import groups_of
from stylemap.ops.passes.common import (
    EPS,
    SLOPE,
    Result,
    check,
    groups_for,
    native,
    normalised,
    skip_filter,
    with_statistics,
)


def apply_modulation(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor, *, normalize: str = "LayerNorm"
) -> Tensor:
    """(x - mean) * rstd * gamma + beta with statistics and maps that are at hand; all N x C x H x W."""
    check(x, gamma=gamma, beta=beta)
    groups = groups_of(normalize, x.shape[1])
    if native(x):
        y: Tensor = torch.ops.stylemap.apply_modulation(x, gamma, beta, mean, rstd, groups)
        return y
    return (normalised(x, mean, rstd, groups) * gamma + beta).to(x.dtype)


def blur_act(
    x: Tensor,
    filter: Tensor,
    bias: Tensor | None = None,
    *,
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    negative_slope: float = SLOPE,
    gain: float = 1.0,
    next_norm: str | None = None,
    eps: float = EPS,
) -> Result:
    """leaky_relu(upfirdn2d(x, filter, padding) + bias) * gain and its statistics in one pass."""
    check(x, bias=bias)
    groups = groups_for(next_norm, x.shape[1])
    if native(x):
        rest = (list(padding), negative_slope, gain, groups, eps)
        return Result(*torch.ops.stylemap.blur_act(x, filter, bias, *rest))
    y = reference.upfirdn2d(x, filter, padding=padding)
    return with_statistics(reference.bias_act(y, bias, negative_slope, gain), next_norm, eps)


def skip_add(
    x: Tensor,
    skip: Tensor,
    *,
    gain: float = 1.0,
    next_norm: str | None = None,
    eps: float = EPS,
) -> Result:
    """(x + upsampled skip) * gain and its statistics in one pass; x: N x C x 2H x 2W, skip: N x C x H x W."""
    check(x, skip=skip)
    filter = skip_filter(x.device)
    if native(x):
        groups = groups_for(next_norm, x.shape[1])
        return Result(*torch.ops.stylemap.skip_add(x, skip, filter, gain, groups, eps))
    y = (x + reference.upfirdn2d(skip, filter, up=2, padding=(2, 1, 2, 1))) * gain
    return with_statistics(y, next_norm, eps)


def modulated_rgb(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    normalize: str = "LayerNorm",
    negative_slope: float = SLOPE,
    gain: float = 1.0,
) -> Tensor:
    """The decoder's last layer in one pass: leaky_relu(weight @ (xhat * gamma) + beta + bias) * gain.

    Args:
        x, gamma: N x C x H x W.
        beta: N x colors x H x W, the modulation's offset already through the layer's 1x1 convolution.
        weight: colors x C, at most 4 colors; bias: colors.

    Returns:
        N x colors x H x W, contiguous.
    """
    check(x, gamma=gamma, beta=beta, weight=weight, bias=bias)
    groups = groups_of(normalize, x.shape[1])
    if native(x):
        rest = (weight, bias, negative_slope, gain)
        y: Tensor = torch.ops.stylemap.modulated_rgb(x, gamma, beta, mean, rstd, groups, *rest)
        return y
    mixed = torch.einsum("nchw,oc->nohw", normalised(x, mean, rstd, groups) * gamma, weight.to(mean.dtype))
    return reference.bias_act((mixed + beta).to(x.dtype), bias, negative_slope, gain).contiguous()
