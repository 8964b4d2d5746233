"""Argument checks of the operators. Each error names the argument, what was expected and what was given."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_input(x: Tensor, name: str = "x", ndim: int | None = 4) -> None:
    """A floating tensor, N x C x H x W unless ``ndim`` says otherwise (None: at least N x C)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.dtype not in DTYPES:
        raise TypeError(f"{name} must be float64, float32, bfloat16 or float16, got {x.dtype}")
    if x.ndim != ndim if ndim is not None else x.ndim < 2:
        expected = "at least 2" if ndim is None else ndim
        raise ValueError(f"{name} must have {expected} dimensions, got shape {tuple(x.shape)}")


def check_shape(tensor: Tensor, shape: tuple[int, ...], name: str, of: str) -> None:
    """Raise ValueError unless the tensor has this shape; ``of`` names the origin of the shape."""
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)} ({of}), got {tuple(tensor.shape)}")


def check_device(tensor: Tensor, x: Tensor, name: str, other: str = "x") -> None:
    if tensor.device != x.device:
        raise ValueError(f"{name} is on {tensor.device}, but {other} is on {x.device}")


def match(tensor: Tensor, x: Tensor, name: str, other: str = "x") -> Tensor:
    """``tensor`` on the device and in the dtype of ``x``: cast under autocast, otherwise required."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    check_device(tensor, x, name, other)
    if tensor.dtype == x.dtype:
        return tensor
    if tensor.dtype in DTYPES and torch.is_autocast_enabled(x.device.type):
        return tensor.to(x.dtype)
    raise TypeError(f"{name} is {tensor.dtype}, but {other} is {x.dtype}")


def like_dense(x: Tensor) -> Tensor:
    """An empty tensor shaped and laid out as the native kernels lay out their result for ``x``."""
    if x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return torch.empty_like(x)
    return torch.empty_like(x, memory_format=torch.contiguous_format)
