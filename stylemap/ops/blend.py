"""blend: mix a reference's stylecode into another where a mask is on, mask and reference shifted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylemap.ops import _native
from stylemap.ops import reference as definition
from stylemap.ops._backend import use_native
from stylemap.ops._checks import check_device, check_input, like_dense, match
from stylemap.ops._statistics import compute_dtype


def blend(
    code: Tensor,
    reference: Tensor,
    mask: Tensor,
    *,
    shift: tuple[int, int] = (0, 0),
    weight: Tensor | float = 1.0,
) -> Tensor:
    """code + weight * (shifted reference - code) where the shifted mask is on, elsewhere code.

    The step of the interactive blend (docs/network.md section 8).

    Args:
        code: N x C x H x W, float64, float32, bfloat16 or float16.
        reference: N x C x H x W of code's dtype (another one is cast under autocast).
        mask: H x W or N x 1 x H x W; anything but 0 is on.
        shift: (dx, dy), the cells that reference and mask move right and down together. What leaves the
            frame is lost, and where nothing arrives the code stays.
        weight: a number or one value per sample; 0 keeps the code, 1 takes the reference.

    Each N may be 1 to serve the whole batch.

    Returns:
        N x C x H x W, channels_last where code is, otherwise contiguous.

    Raises:
        ValueError: a wrong shape or device, batches that do not go together.
        TypeError: a wrong dtype, a shift that is not of integers.
    """
    check_input(code, "code")
    reference = match(reference, code, "reference", "code")
    mask = _check_mask(mask, code)
    weight = _check_weight(weight, code)
    if tuple(reference.shape[1:]) != tuple(code.shape[1:]):
        raise ValueError(
            f"reference must have the channels and size of code, {tuple(code.shape)}, "
            f"got {tuple(reference.shape)}"
        )
    _batch_of(code, reference, mask, weight)
    dx, dy = shift
    if not (isinstance(dx, int) and isinstance(dy, int)):
        raise TypeError(f"shift must be two integers (dx, dy), got {shift!r}")
    if use_native(code):
        y: Tensor = torch.ops.stylemap.blend(code, reference, mask, weight, dx, dy)
        return y
    return definition.blend(code, reference, mask, (dx, dy), weight)


def _check_mask(mask: Tensor, code: Tensor) -> Tensor:
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask must be a tensor, got {type(mask).__name__}")
    check_device(mask, code, "mask", "code")
    whole = mask[None, None] if mask.ndim == 2 else mask
    if whole.ndim != 4 or whole.shape[1] != 1 or whole.shape[2:] != code.shape[2:]:
        raise ValueError(
            f"mask must be {tuple(code.shape[2:])} or N x 1 x {tuple(code.shape[2:])} "
            f"for code {tuple(code.shape)}, got {tuple(mask.shape)}"
        )
    return whole.to(torch.bool)


def _check_weight(weight: Tensor | float, code: Tensor) -> Tensor:
    dtype = compute_dtype(code)
    if not isinstance(weight, Tensor):
        return torch.full((1,), weight, dtype=dtype, device=code.device)
    if weight.ndim and weight.device != code.device:
        raise ValueError(f"weight is on {weight.device}, but code is on {code.device}")
    if weight.ndim > 1 and weight.shape[0] != weight.numel():
        raise ValueError(f"weight must be one value per sample, got shape {tuple(weight.shape)}")
    return weight.to(code.device, dtype).reshape(-1)


def _batch_of(code: Tensor, reference: Tensor, mask: Tensor, weight: Tensor) -> int:
    named = {"code": code, "reference": reference, "mask": mask, "weight": weight}
    batch = 1
    for name, tensor in named.items():
        size = tensor.shape[0]
        if size != 1 and batch not in (1, size):
            shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in named.items())
            raise ValueError(f"{name} has {size} samples, which does not go with {batch}: {shapes}")
        batch = batch if size == 1 else size
    return batch


@_native.fake("blend")
def _fake(code: Tensor, reference: Tensor, mask: Tensor, weight: Tensor, dx: int, dy: int) -> Tensor:
    shape = (_batch_of(code, reference, mask, weight), *code.shape[1:])
    last = not code.is_contiguous() and code.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=code.dtype, device=code.device, memory_format=layout)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.dx, ctx.dy = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    code, reference, mask, weight = ctx.saved_tensors
    dcode, dreference = torch.ops.stylemap.blend_backward(grad, mask, weight, ctx.dx, ctx.dy)
    dweight = None
    if ctx.needs_input_grad[3]:
        dweight = _weight_gradient(grad, code, reference, mask, weight, ctx.dx, ctx.dy)
    return _sum_to(dcode, code), _sum_to(dreference, reference), None, dweight, None, None


@_native.fake("blend_backward")
def _fake_backward(grad: Tensor, mask: Tensor, weight: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    return like_dense(grad), like_dense(grad)


def _double_backward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
    # blend and its backward are each other's adjoint; both are linear in the weight.
    grad, mask, weight = ctx.saved_tensors
    dgrad = torch.ops.stylemap.blend(a, b, mask, weight, ctx.dx, ctx.dy)
    dweight = _weight_gradient(grad, a, b, mask, weight, ctx.dx, ctx.dy) if ctx.needs_input_grad[2] else None
    return dgrad, None, dweight, None, None


def _weight_gradient(
    grad: Tensor, code: Tensor, reference: Tensor, mask: Tensor, weight: Tensor, dx: int, dy: int
) -> Tensor:
    on = definition.shift_cells(mask, dx, dy)
    wide = (t.to(weight.dtype) for t in (grad, code, definition.shift_cells(reference, dx, dy)))
    g, old, new = wide
    return _sum_to(torch.where(on, g * (new - old), 0).sum((1, 2, 3)), weight)


def _sum_to(gradient: Tensor, operand: Tensor) -> Tensor:
    """Over the batch, where the operand's single sample served all of it."""
    return gradient if gradient.shape[0] == operand.shape[0] else gradient.sum(0, keepdim=True)


_native.autograd("blend", _backward, _setup)
_native.autograd("blend_backward", _double_backward, _setup)
