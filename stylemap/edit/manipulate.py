"""Semantic manipulation: move a stylemap along a direction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap.edit.checks import broadcast_batch, per_sample
from stylemap.edit.masks import mask_over, pool_max
from stylemap.inputs import MaskLike


def unit(direction: Tensor) -> Tensor:
    """The direction divided by its length.

    Raises:
        ValueError: its length is 0 or not finite.
    """
    length = torch.linalg.vector_norm(direction.to(torch.float64))
    if not bool(length.isfinite()) or length == 0:
        raise ValueError(f"a direction needs a finite length above 0, got {float(length):g}")
    scaled: Tensor = direction.to(torch.float64) / length
    return scaled.to(direction.dtype)


def manipulate(
    w: Tensor,
    direction: Tensor,
    strength: float | Sequence[float] | Tensor,
    mask: MaskLike | None = None,
) -> Tensor:
    """w + strength * v, v the direction scaled to length 1; inside the mask only, where there is one.

    Args:
        w: stylemaps N x K x L x L.
        direction: K x L x L, any length above 0. It is normalised before the mask is applied.
        strength: d, negative for the opposite. T of them, with N = 1 or N = T.
        mask: over the cells, L x L or N x 1 x L x L; or over pixels, its side a multiple of L, in which
            case a cell is on where any of its pixels is. On where > 0.5. Or a picture: see
            `edit.masks.mask_over`.

    Returns:
        A new stylemap max(N, T) x K x L x L.

    Raises:
        ValueError: a direction of another shape or without length, a mask that does not divide into cells.
    """
    if w.ndim != 4 or tuple(direction.shape) != tuple(w.shape[1:]):
        raise ValueError(
            f"direction must be K x L x L as the stylemap: got {tuple(direction.shape)} for {tuple(w.shape)}"
        )
    amount = per_sample(strength, w, "strength")
    count = broadcast_batch(len(amount), w.shape[0], "strengths")
    step = amount[:, None, None, None] * unit(direction).to(w.device, amount.dtype)
    if mask is not None:
        cells = pool_max(mask_over(mask, w.shape[-1], w.device), w.shape[-1])
        broadcast_batch(cells.shape[0], count, "masks")
        step = step * cells
    return (w + step).to(w.dtype)
