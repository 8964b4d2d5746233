"""modulated_conv2d: the decoder's layer as one operator, from stylecode to activation."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native, reference
from stylemap.ops._backend import use_native
from stylemap.ops._checks import check_input, check_shape, match
from stylemap.ops._statistics import groups_of
from stylemap.ops.modulate import check_running_statistics, fixed_statistics
from stylemap.ops.upfirdn2d import adjoint, check_filter

NAMES = ("style", "weight", "bias", "gamma_weight", "gamma_bias", "beta_weight", "beta_bias")
BLUR_PADDING = [1, 1, 1, 1]


def modulated_conv2d(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    bias: Tensor,
    gamma_weight: Tensor,
    gamma_bias: Tensor,
    beta_weight: Tensor,
    beta_bias: Tensor,
    *,
    filter: Tensor | None = None,
    normalize: str = "LayerNorm",
    eps: float = 1e-5,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    negative_slope: float = 0.2,
    gain: float = math.sqrt(2.0),
) -> Tensor:
    """Spatially varying modulated convolution with activation (StyledConv in docs/network.md section 5).

    gamma, beta = conv3x3(style); y = norm(x) * gamma + beta; then conv k x k with padding k // 2 or, given
    a filter, a transposed conv 3x3 of stride 2 and the filter with padding 1; then bias_act. The backward
    keeps x, style and the result, and recomputes what lies between.

    Under autocast all operands take its dtype, as those of a convolution do.

    Args:
        x: N x C x H x W, float64, float32, bfloat16 or float16; everything else is of its dtype.
        style: N x S x H x W.
        weight: out x C x k x k, out x C x 3 x 3 with a filter; already scaled, as are the other weights.
        bias: out.
        gamma_weight, beta_weight: C x S x 3 x 3.
        gamma_bias, beta_bias: C.
        filter: kh x kw, the blur after an upsampling, gain of 4 included (any floating dtype; a constant).
        normalize, eps, running_mean, running_var: as in `modulate`.
        negative_slope, gain: as in `bias_act`.

    Returns:
        N x out x H x W, or with a 4 x 4 filter N x out x 2H x 2W; channels_last where x is.

    Raises:
        ValueError: a wrong shape, device, norm, slope or gain.
        TypeError: a wrong dtype.
    """
    check_input(x)
    operands = (style, weight, bias, gamma_weight, gamma_bias, beta_weight, beta_bias)
    device = x.device.type
    context: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(device))
        context = torch.autocast(device, enabled=False)
    matched = [match(t, x, name) for name, t in zip(NAMES, operands)]
    _check_shapes(x, *matched, up=filter is not None)
    if filter is not None:
        filter = check_filter(filter, x)
    groups = groups_of(normalize, x.shape[1])
    check_running_statistics(x, normalize, running_mean, running_var)
    if not negative_slope >= 0 or not gain > 0:
        raise ValueError(f"negative_slope must be >= 0 and gain > 0, got {negative_slope} and {gain}")
    with context:
        if not use_native(x):
            rest: tuple[Any, ...] = (filter, normalize, eps, running_mean, running_var, negative_slope, gain)
            y: Tensor = reference.modulated_conv2d(*(x, *matched, *rest))
            return y.to(x.dtype)
        mean, rstd = fixed_statistics(x, eps, running_mean, running_var)
        rest = (filter, groups, eps, mean, rstd, negative_slope, gain)
        out: Tensor = torch.ops.stylemap.modulated_conv2d(x, *matched, *rest)
        return out


def _check_shapes(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    bias: Tensor,
    gamma_weight: Tensor,
    gamma_bias: Tensor,
    beta_weight: Tensor,
    beta_bias: Tensor,
    *,
    up: bool,
) -> None:
    n, c, h, w = x.shape
    if style.ndim != 4 or (style.shape[0], *style.shape[2:]) != (n, h, w):
        raise ValueError(
            f"style must be {n} x S x {h} x {w} for x {tuple(x.shape)}, got {tuple(style.shape)}"
        )
    if weight.ndim != 4 or weight.shape[1] != c or weight.shape[2] != weight.shape[3]:
        raise ValueError(
            f"weight must be out x {c} x k x k for x {tuple(x.shape)}, got {tuple(weight.shape)}"
        )
    if up and weight.shape[2] != 3:
        raise ValueError(f"weight must be 3 x 3 where a filter is given, got shape {tuple(weight.shape)}")
    check_shape(bias, (weight.shape[0],), "bias", "output channels of weight")
    for name, kernel, offset in (("gamma", gamma_weight, gamma_bias), ("beta", beta_weight, beta_bias)):
        check_shape(kernel, (c, style.shape[1], 3, 3), f"{name}_weight", "channels of x and of style")
        check_shape(offset, (c,), f"{name}_bias", "channels of x")


@_native.fake("modulated_conv2d")
def _fake(x: Tensor, style: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    filter, k = rest[5], weight.shape[2]
    n, _, h, w = x.shape
    if filter is None:
        size = (h + 2 * (k // 2) - k + 1, w + 2 * (k // 2) - k + 1)
    else:
        size = (2 * h + 4 - filter.shape[0], 2 * w + 4 - filter.shape[1])
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty((n, weight.shape[0], *size), dtype=x.dtype, device=x.device, memory_format=layout)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, filter, ctx.groups, ctx.eps, mean, rstd, ctx.negative_slope, ctx.gain = inputs
    ctx.save_for_backward(*tensors, filter, mean, rstd, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # Every step is an operator with a derivative of its own, so this differentiates too.
    with torch.autocast(grad.device.type, enabled=False):
        return _gradients(ctx, grad)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, style, weight, _, gamma_weight, gamma_bias, beta_weight, beta_bias, *rest = ctx.saved_tensors
    filter, given_mean, given_rstd, output = rest
    wanted = ctx.needs_input_grad
    ops = torch.ops.stylemap
    dz = ops.bias_act_backward(grad, output, ctx.negative_slope, ctx.gain)
    dbias = dz.sum((0, 2, 3)) if wanted[3] else None
    gamma = torch.conv2d(style, gamma_weight, gamma_bias, padding=1)
    beta = torch.conv2d(style, beta_weight, beta_bias, padding=1)
    y, mean, rstd = ops.modulate(x, gamma, beta, ctx.groups, ctx.eps, given_mean, given_rstd)
    if filter is None:
        dy, dweight = _conv_gradients(dz, y, weight, weight.shape[2] // 2, wanted[2])[:2]
    else:
        wide = (2 * x.shape[2] + 1, 2 * x.shape[3] + 1)
        dwide = adjoint(dz, filter, 1, 1, BLUR_PADDING, False, wide)
        dy, dweight = _transposed_gradients(dwide, y, weight, wanted[2])
    dx, dgamma = ops.modulate_backward(dy, x, gamma, mean, rstd, ctx.groups, given_mean is not None)
    from_gamma = _conv_gradients(dgamma, style, gamma_weight, 1, wanted[4], wanted[5])
    from_beta = _conv_gradients(dy, style, beta_weight, 1, wanted[6], wanted[7])
    dstyle = from_gamma[0] + from_beta[0]
    return dx, dstyle, dweight, dbias, *from_gamma[1:], *from_beta[1:], *[None] * 7


def _conv_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, padding: int, for_weight: bool, for_bias: bool = False
) -> tuple[Any, Any, Any]:
    mask = [True, for_weight, for_bias]
    rest = ([1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, mask)
    dx, dweight, dbias = torch.ops.aten.convolution_backward(grad, x, weight, [weight.shape[0]], *rest)
    return dx, dweight if for_weight else None, dbias if for_bias else None


def _transposed_gradients(grad: Tensor, x: Tensor, weight: Tensor, for_weight: bool) -> tuple[Any, Any]:
    rest = (None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1, [True, for_weight, False])
    dx, dweight, _ = torch.ops.aten.convolution_backward(grad, x, weight.transpose(0, 1), *rest)
    return dx, dweight.transpose(0, 1) if for_weight else None


_native.autograd("modulated_conv2d", _backward, _setup)
