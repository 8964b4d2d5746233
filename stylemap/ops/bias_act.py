"""bias_act: leaky_relu(x + bias) * gain in one pass."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native, reference
from stylemap.ops._backend import use_native
from stylemap.ops._checks import check_input, check_shape, like_dense, match


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    negative_slope: float = 0.2,
    gain: float = math.sqrt(2.0),
) -> Tensor:
    """leaky_relu(x + bias[c], negative_slope) * gain, the bias along dimension 1.

    Args:
        x: N x C or N x C x ..., float64, float32, bfloat16 or float16.
        bias: C, of x's dtype (another one is cast under autocast), or None.
        negative_slope: >= 0, factor of negative sums.
        gain: > 0, factor of everything; sqrt(2) keeps the variance of a normal input.

    Returns:
        A tensor shaped as x, channels_last where x is, otherwise contiguous.

    Raises:
        ValueError: a wrong shape, device, slope or gain.
        TypeError: a wrong dtype.
    """
    check_input(x, ndim=None)
    if bias is not None:
        bias = match(bias, x, "bias")
        check_shape(bias, (x.shape[1],), "bias", "channels of x")
    if not negative_slope >= 0:
        raise ValueError(f"negative_slope must be >= 0, got {negative_slope}")
    if not gain > 0:
        raise ValueError(f"gain must be > 0, got {gain}")
    if use_native(x):
        return torch.ops.stylemap.bias_act(x, bias, negative_slope, gain)  # type: ignore[no-any-return]
    return reference.bias_act(x, bias, negative_slope, gain)


@_native.fake("bias_act")
def _fake(x: Tensor, bias: Tensor | None, negative_slope: float, gain: float) -> Tensor:
    return like_dense(x)


@_native.fake("bias_act_backward")
def _fake_backward(grad: Tensor, y: Tensor, negative_slope: float, gain: float) -> Tensor:
    return like_dense(y)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    # The sign of the output is the sign of the sum, and the next layer keeps the output anyway.
    ctx.save_for_backward(output)
    ctx.has_bias = inputs[1] is not None
    ctx.negative_slope, ctx.gain = inputs[2:]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
    (y,) = ctx.saved_tensors
    dx = torch.ops.stylemap.bias_act_backward(grad, y, ctx.negative_slope, ctx.gain)
    wanted = ctx.has_bias and ctx.needs_input_grad[1]
    dbias = dx.sum([d for d in range(dx.ndim) if d != 1]) if wanted else None
    return dx, dbias, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.negative_slope, ctx.gain = inputs[2:]


def _double_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    # Linear in grad, with a mask that does not depend on it: this function is its own derivative.
    (y,) = ctx.saved_tensors
    return torch.ops.stylemap.bias_act_backward(grad, y, ctx.negative_slope, ctx.gain), None, None, None


_native.autograd("bias_act", _backward, _setup)
_native.autograd("bias_act_backward", _double_backward, _setup_backward)
