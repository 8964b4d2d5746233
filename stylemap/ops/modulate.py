"""modulate: normalise a feature map, scale it by gamma and shift it by beta, element by element."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native, reference
from stylemap.ops._backend import use_native
from stylemap.ops._checks import check_device, check_input, check_shape, like_dense, match
from stylemap.ops._statistics import compute_dtype, grouped, groups_of, spread, statistics_shape

Tensors = tuple[Tensor, ...]


def modulate(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    normalize: str = "LayerNorm",
    eps: float = 1e-5,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * gamma + beta: spatially varying modulation (docs/network.md section 5).

    Args:
        x: N x C x H x W, float64, float32, bfloat16 or float16.
        gamma, beta: shaped as x and of its dtype (another one is cast under autocast). Halves of one
            tensor's channels are read in place.
        normalize: the norm: "LayerNorm" (over C, H, W), "InstanceNorm2d" (H, W), "GroupNorm" (8 groups
            of channels) or "BatchNorm2d" (N, H, W).
        eps: added to the variance.
        running_mean, running_var: C each, used instead of x's own statistics; only for "BatchNorm2d".

    Returns:
        A tensor shaped as x, channels_last where x is, otherwise contiguous.

    Raises:
        ValueError: a wrong shape, device or norm, or statistics with a norm that has none.
        TypeError: a wrong dtype.
    """
    check_input(x)
    gamma, beta = match(gamma, x, "gamma"), match(beta, x, "beta")
    check_shape(gamma, x.shape, "gamma", "the shape of x")
    check_shape(beta, x.shape, "beta", "the shape of x")
    groups = groups_of(normalize, x.shape[1])
    check_running_statistics(x, normalize, running_mean, running_var)
    if not use_native(x):
        y = reference.modulate(x, gamma, beta, normalize, eps, running_mean, running_var)
        return y.to(x.dtype)
    mean, rstd = fixed_statistics(x, eps, running_mean, running_var)
    out: Tensor = torch.ops.stylemap.modulate(x, gamma, beta, groups, eps, mean, rstd)[0]
    return out


def check_running_statistics(
    x: Tensor, normalize: str, running_mean: Tensor | None, running_var: Tensor | None
) -> None:
    """Check the running statistics that an operator is given: both or none, C values on the device of x.

    Raises:
        ValueError: one alone, a norm other than BatchNorm2d, or another shape or device.
    """
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must be given together")
    if running_mean is None or running_var is None:
        return
    if normalize != "BatchNorm2d":
        raise ValueError(f"running_mean is only for BatchNorm2d, got normalize {normalize!r}")
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        check_shape(value, (x.shape[1],), name, "channels of x")
        check_device(value, x, name)


def fixed_statistics(
    x: Tensor, eps: float, running_mean: Tensor | None, running_var: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """The native operators' mean and rstd from running statistics, which are constants."""
    if running_mean is None or running_var is None:
        return None, None
    dtype = compute_dtype(x)
    rstd = torch.rsqrt(running_var.detach().to(dtype) + eps)
    return running_mean.detach().to(dtype).contiguous(), rstd.contiguous()


@_native.fake("modulate")
def _fake(
    x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float, mean: Tensor | None, rstd: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    shape, dtype = statistics_shape(x, groups), compute_dtype(x)
    return like_dense(x), x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, gamma, _, ctx.groups, _, given, _ = inputs
    _, mean, rstd = output
    ctx.fixed = given is not None
    ctx.mark_non_differentiable(mean, rstd)
    ctx.save_for_backward(x, gamma, mean, rstd)


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, gamma, mean, rstd = ctx.saved_tensors
    dx, dgamma = torch.ops.stylemap.modulate_backward(grad, x, gamma, mean, rstd, ctx.groups, ctx.fixed)
    return dx, dgamma, grad, None, None, None, None


@_native.fake("modulate_backward")
def _fake_backward(
    grad: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, rstd: Tensor, groups: int, fixed_statistics: bool
) -> tuple[Tensor, Tensor]:
    return like_dense(x), like_dense(x)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
    *tensors, ctx.groups, ctx.fixed = inputs
    ctx.save_for_backward(*tensors)


def _double_backward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
    """Cotangents of grad, x and gamma for cotangents a of dx and b of dgamma.

    With r = rstd, h = (x - mean) r, u = grad * gamma, M the mean over a statistic's elements and
    P(v) = v - M(v) - h M(v h): dx = r P(u) and dgamma = grad h. P is symmetric, mean and r move with x:
    dr = -r^2 M(h dx) and dh = r P(dx).
    """
    saved = ctx.saved_tensors
    x, groups = saved[1], ctx.groups
    grad, wide, gamma, a, b = (grouped(t.to(compute_dtype(x)), groups) for t in (*saved[:3], a, b))
    mean, r = (
        saved[3:] if ctx.fixed else _moving_statistics(wide.reshape(x.shape), saved[3], saved[4], groups)
    )
    mean, r = spread(mean, groups), spread(r, groups)
    h = (wide - mean) * r
    if ctx.fixed:
        results = gamma * r * a + b * h, b * grad * r, grad * r * a
    else:
        dims = (0, 2, 3, 4) if groups == 0 else (2, 3, 4)

        def average(v: Tensor) -> Tensor:
            return v.mean(dims, keepdim=True)

        def project(v: Tensor) -> Tensor:
            return v - average(v) - h * average(v * h)

        u = grad * gamma
        pa = project(a)
        through_h = b * grad - r * (a * average(u * h) + u * average(a * h))
        dx = r * project(through_h) - r * r * h * average(a * project(u))
        results = gamma * r * pa + b * h, dx, grad * r * pa
    dgrad, dx, dgamma = (t.reshape(x.shape).to(x.dtype) for t in results)
    return dgrad, dx, dgamma, None, None, None, None


def _moving_statistics(x: Tensor, mean: Tensor, rstd: Tensor, groups: int) -> Tensors:
    """mean and rstd as functions of x, for derivatives of the double backward: same values."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return mean, rstd
    moving_mean, moving_var = torch.ops.stylemap.moments(x, groups)
    variance = rstd.square().reciprocal() + (moving_var - moving_var.detach())
    return mean + (moving_mean - moving_mean.detach()), variance.rsqrt()


_native.autograd("modulate", _backward, _setup)
_native.autograd("modulate_backward", _double_backward, _setup_backward)
