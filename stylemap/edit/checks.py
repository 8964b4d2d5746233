"""Checks and small steps that several edits share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def check_pair(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    """Two stylemaps N x K x L x L that can be edited together: one K and L, batches equal or 1.

    Raises:
        ValueError: they cannot; the message names both shapes.
    """
    batches = {a.shape[0], b.shape[0]} if a.ndim == b.ndim == 4 else set()
    if not batches or a.shape[1:] != b.shape[1:] or (len(batches) == 2 and 1 not in batches):
        raise ValueError(
            f"{name_a} and {name_b} must be stylemaps N x K x L x L of one K and L, batches equal or 1; "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )


def per_sample(weights: float | Sequence[float] | Tensor, like: Tensor, name: str = "weights") -> Tensor:
    """A number, or one number per image, as T values on the device of ``like``, float32 or better.

    Raises:
        ValueError: nothing in it, a value that is not finite, or more than one axis.
    """
    # Numbers are checked on the CPU: on a GPU that would wait for it.
    device = weights.device if isinstance(weights, Tensor) else "cpu"
    values = torch.as_tensor(weights, dtype=torch.float64, device=device)
    if values.ndim == 0:
        values = values[None]
    if values.ndim != 1 or len(values) == 0 or not bool(values.isfinite().all()):
        raise ValueError(f"{name} must be one or more finite numbers, got {weights!r}")
    return values.to(like.device, torch.promote_types(like.dtype, torch.float32))


def broadcast_batch(count: int, batch: int, name: str) -> int:
    """The common batch of ``count`` values and ``batch`` stylemaps.

    Raises:
        ValueError: the two differ and neither is 1; the message names both.
    """
    if count != batch and 1 not in (count, batch):
        raise ValueError(
            f"{count} {name} do not go with a batch of {batch}: one of them must be 1, or both equal"
        )
    return max(count, batch)


def in_chunks(count: int, chunk: int, render: Callable[[slice], Tensor]) -> Tensor:
    """The images of render(slice) for slices of at most ``chunk`` images, joined along the batch.

    Raises:
        ValueError: a chunk below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    return torch.cat([render(slice(start, min(start + chunk, count))) for start in range(0, count, chunk)])
