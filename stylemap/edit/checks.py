"""Checks and small steps that several edits share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from stylemap.inputs import MaskLike

#: Stylemaps, one per reference, each N x K x L x L or K x L x L; or a tensor k x K x L x L of k of them.
ReferencesLike: TypeAlias = Sequence[Tensor] | Tensor
#: Masks, one per reference; or a tensor k x 1 x S x S (or k x S x S) of k of them.
MasksLike: TypeAlias = Sequence[MaskLike] | MaskLike
#: (dx, dy) in pixels per reference; or one for all.
Shift: TypeAlias = tuple[float, float]
ShiftsLike: TypeAlias = Sequence[Shift] | Shift


def references_with_masks(
    reference_ws: ReferencesLike, masks: MasksLike, shifts: ShiftsLike | None
) -> tuple[list[Tensor], list[MaskLike], list[Shift]]:
    """The three arguments of a blend as lists of one length.

    A tensor of stylemaps or masks is split along its first axis: one for each reference.

    Raises:
        ValueError: lists of different lengths; the message names both arguments and their shapes.
    """
    references = [one[None] if one.ndim == 3 else one for one in _parts(reference_ws, 3)]
    given_masks = _parts(masks, 2)
    count = len(references)
    if len(given_masks) != count:
        raise ValueError(
            f"masks: expected {count}, one for each of reference_ws ({_told(reference_ws)}), "
            f"got {len(given_masks)} ({_told(masks)})"
        )
    if shifts is None:
        shifts = (0, 0)
    if len(shifts) == 2 and all(isinstance(one, int | float) for one in shifts):
        shifts = [shifts] * count  # type: ignore[list-item]
    if len(shifts) != count:
        raise ValueError(
            f"shifts: expected {count} pairs (dx, dy), one for each of reference_ws ({_told(reference_ws)}), "
            f"got {len(shifts)}"
        )
    return references, given_masks, list(shifts)  # type: ignore[arg-type]


def _parts(given: Any, ndim: int) -> list[Any]:
    """A list as it is; one element of ``ndim`` axes in a list; a stack of them split, each with its axis."""
    if isinstance(given, Tensor):
        return [given] if given.ndim <= ndim else list(given.split(1))
    shape = getattr(given, "shape", None)
    if shape is not None:  # numpy: a stack has an axis before H x W
        return [given] if len(shape) <= ndim or shape[-1] == 1 else list(given)
    return list(given) if isinstance(given, list | tuple) else [given]


def _told(given: Any) -> str:
    """The shape of a tensor, the shapes of a list of them."""
    parts = given if isinstance(given, list | tuple) else [given]
    shapes = [" x ".join(map(str, getattr(one, "shape", ()))) or type(one).__name__ for one in parts]
    return ", ".join(shapes) if shapes else "none"


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
