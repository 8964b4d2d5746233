"""upfirdn2d: upsample, pad, filter and downsample a feature map in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native, reference
from stylemap.ops._backend import use_native
from stylemap.ops._checks import DTYPES, check_device, check_input

Padding = tuple[int, int] | tuple[int, int, int, int]


def upfirdn2d(
    x: Tensor,
    filter: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0),
    flip_filter: bool = False,
) -> Tensor:
    """Put up-1 zeros after every sample, pad, convolve each channel, keep every down-th sample.

    The output size along an axis is (up * length + p0 + p1 - taps) // down + 1. The native kernels
    compute with the filter in float32 (float64 for float64 x); a separable filter is recognised.

    Args:
        x: N x C x H x W, float64, float32, bfloat16 or float16.
        filter: kh x kw, or k for the outer product with itself; any floating dtype. A constant:
            no gradient flows to it.
        up, down: integer factors, at least 1.
        padding: (before, after) for both axes or (left, right, top, bottom); negative values crop
            the upsampled input.
        flip_filter: correlate instead of convolving.

    Returns:
        A tensor of x's dtype, channels_last where x is, otherwise contiguous.

    Raises:
        ValueError: a wrong shape, device, factor or padding, or a filter larger than the padded x.
        TypeError: a wrong dtype.
    """
    check_input(x)
    filter = check_filter(filter, x)
    if not (isinstance(up, int) and up >= 1):
        raise ValueError(f"up must be an integer of at least 1, got {up!r}")
    if not (isinstance(down, int) and down >= 1):
        raise ValueError(f"down must be an integer of at least 1, got {down!r}")
    left, right, top, bottom = four_paddings(padding)
    size = _output_size(x, filter, up, down, (left, right, top, bottom))
    if size[0] < 1 or size[1] < 1:
        raise ValueError(
            f"filter of shape {tuple(filter.shape)} is larger than the padded x: shape {tuple(x.shape)}, "
            f"up {up}, padding {(left, right, top, bottom)}"
        )
    if use_native(x):
        y: Tensor = torch.ops.stylemap.upfirdn2d(x, filter, up, down, [left, right, top, bottom], flip_filter)
        return y
    return reference.upfirdn2d(x, filter, up, down, (left, right, top, bottom), flip_filter)


def four_paddings(padding: Padding) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) from either form."""
    if len(padding) == 2:
        return padding[0], padding[1], padding[0], padding[1]
    if len(padding) == 4:
        return padding[0], padding[1], padding[2], padding[3]
    raise ValueError(f"padding must be (before, after) or (left, right, top, bottom), got {padding!r}")


def check_filter(filter: Tensor, x: Tensor) -> Tensor:
    """The filter as kh x kw: one of k taps becomes its outer product with itself.

    Raises:
        TypeError: no floating-point tensor.
        ValueError: no tap, more than two dimensions, another device than x, or a filter with a gradient.
    """
    if not isinstance(filter, Tensor) or filter.dtype not in DTYPES:
        kind = filter.dtype if isinstance(filter, Tensor) else type(filter).__name__
        raise TypeError(f"filter must be a floating tensor, got {kind}")
    if filter.ndim not in (1, 2) or filter.numel() == 0:
        raise ValueError(
            f"filter must be k or kh x kw with at least one tap, got shape {tuple(filter.shape)}"
        )
    check_device(filter, x, "filter")
    if filter.requires_grad and torch.is_grad_enabled():
        raise ValueError("filter requires a gradient, but upfirdn2d treats it as a constant: detach it")
    return filter[:, None] * filter[None, :] if filter.ndim == 1 else filter


def _output_size(
    x: Tensor, filter: Tensor, up: int, down: int, padding: tuple[int, int, int, int] | list[int]
) -> tuple[int, int]:
    left, right, top, bottom = padding
    height = (x.shape[2] * up + top + bottom - filter.shape[0]) // down + 1
    width = (x.shape[3] * up + left + right - filter.shape[1]) // down + 1
    return height, width


@_native.fake("upfirdn2d")
def _fake(x: Tensor, filter: Tensor, up: int, down: int, padding: list[int], flip_filter: bool) -> Tensor:
    shape = (*x.shape[:2], *_output_size(x, filter, up, down, padding))
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        shape,
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, filter, ctx.up, ctx.down, ctx.padding, ctx.flip_filter = inputs
    ctx.save_for_backward(filter)
    ctx.in_size = x.shape[2:]


def adjoint(
    grad: Tensor,
    filter: Tensor,
    up: int,
    down: int,
    padding: tuple[int, int, int, int] | list[int],
    flip_filter: bool,
    in_size: tuple[int, int] | torch.Size,
) -> Tensor:
    """The gradient of x (of height and width ``in_size``) from that of the native operator's result.

    It is the same operator with up and down swapped and the filter flipped.
    """
    left, _, top, _ = padding
    height, width = filter.shape
    right = in_size[1] * up - grad.shape[3] * down + left - up + 1
    bottom = in_size[0] * up - grad.shape[2] * down + top - up + 1
    swapped = [width - left - 1, right, height - top - 1, bottom]
    dx: Tensor = torch.ops.stylemap.upfirdn2d(grad, filter, down, up, swapped, not flip_filter)
    return dx


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
    (filter,) = ctx.saved_tensors
    dx = adjoint(grad, filter, ctx.up, ctx.down, ctx.padding, ctx.flip_filter, ctx.in_size)
    return dx, None, None, None, None, None


_native.autograd("upfirdn2d", _backward, _setup)
