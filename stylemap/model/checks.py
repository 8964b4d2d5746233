"""Checks of a model's arguments. Each error names the argument, what was expected and what was given."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.files import shown
from stylemap.inputs import ImagesLike, image_batch


def as_images(images: ImagesLike, config: Config, like: Tensor) -> Tensor:
    """N×3×S×S in the dtype and on the device of ``like``; pictures are converted, tensors only checked."""
    batch = images if isinstance(images, Tensor) else image_batch(images, config.size, like)
    check_images(batch, config, like)
    return batch


def check_images(images: Tensor, config: Config, like: Tensor) -> None:
    """N×3×S×S in the dtype and on the device of ``like``, a parameter of the network."""
    check_tensor("images", images, (3, config.size, config.size), like)


def check_stylemap(stylemap: Tensor, config: Config, like: Tensor) -> None:
    """N×K×L×L in the dtype and on the device of ``like``, a parameter of the network."""
    check_tensor("stylemap", stylemap, config.stylemap_shape, like)


def check_codes(codes: Sequence[Tensor], config: Config, like: Tensor) -> None:
    """`Config.stylecode_shapes` with one N, in the dtype and on the device of ``like``."""
    shapes = config.stylecode_shapes
    if isinstance(codes, Tensor) or len(codes) != len(shapes):
        got = "one tensor" if isinstance(codes, Tensor) else str(len(codes))
        raise ValueError(f"codes: expected {len(shapes)} stylecodes, got {got}")
    for i, (code, shape) in enumerate(zip(codes, shapes, strict=True)):
        check_tensor(f"codes[{i}]", code, shape, like)
        if code.shape[0] != codes[0].shape[0]:
            batch = codes[0].shape[0]
            raise ValueError(f"codes[{i}]: expected a batch of {batch} as in codes[0], got {code.shape[0]}")


def check_classes(classes: Tensor, batch: int, count: int) -> Tensor:
    """int64 N, all from 0 to ``count`` - 1. Raises TypeError or ValueError."""
    if not isinstance(classes, Tensor) or classes.dtype != torch.int64:
        raise TypeError("classes: expected an int64 tensor")
    if classes.shape != (batch,):
        raise ValueError(f"classes: expected {batch}, one for each z, got shape {tuple(classes.shape)}")
    if bool(((classes < 0) | (classes >= count)).any()):
        raise ValueError(f"classes: expected numbers from 0 to {count - 1}, got {classes.tolist()[:8]}")
    return classes


def check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    """N×shape, dtype and device of ``like``; under autocast any floating dtype.

    Raises TypeError for a wrong dtype or no tensor at all, ValueError for a wrong shape or device.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.ndim != len(shape) + 1 or tuple(tensor.shape[1:]) != shape:
        expected, got = "×".join(map(str, shape)), "×".join(map(str, tensor.shape))
        raise ValueError(f"{name}: expected shape N×{expected}, got {got or 'a scalar'}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got one of layout {tensor.layout}")
    if tensor.device != like.device:
        raise ValueError(f"{name}: expected on {like.device}, as the model, got {tensor.device}")
    if torch.is_autocast_enabled(like.device.type):
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected a floating-point dtype, got {_dtype(tensor)}")
    elif tensor.dtype != like.dtype:
        raise TypeError(f"{name}: expected {_dtype(like)}, as the model, got {_dtype(tensor)}")


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU.

    Raises TypeError for a seed that is no whole number, ValueError for one of more than 64 bits.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed: expected a whole number, got {shown(seed)}") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"seed: expected a number of at most 64 bits, got {shown(number)}")
    return torch.Generator().manual_seed(number)


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise TypeError for a dtype that is not floating point, ValueError for NaN or infinite values."""
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point dtype, got {_dtype(tensor)}")
    if tensor.layout != torch.strided or tensor.is_meta:
        raise TypeError(f"{name}: expected a dense tensor with values, got one that is sparse or on meta")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name}: expected finite values, got NaN or infinite ones")


def available_device(device: str | torch.device) -> torch.device:
    """The device of that name, with its index.

    Raises:
        ValueError: there is no such device on this machine.
    """
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} is not available: {reason}") from error
    if found.type == "meta":
        raise ValueError("device 'meta' is not available: nothing is computed there")
    return found


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
