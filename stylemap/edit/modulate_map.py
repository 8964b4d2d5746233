"""Semantic manipulation by a map: a stylemap multiplied cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.edit.checks import broadcast_batch, per_sample
from stylemap.edit.masks import mask_over, pool_max
from stylemap.inputs import MaskLike


def modulate_map(
    w: Tensor,
    map: Tensor,
    strength: float | Sequence[float] | Tensor = 1.0,
    mask: MaskLike | None = None,
) -> Tensor:
    """w * (1 + strength * (map - 1)): strength 1 multiplies by the map, 0 leaves w; more goes beyond it.

    Where the map is 1 nothing changes, where it is 0 the stylemap is silenced, above 1 it is amplified.

    Args:
        w: stylemaps N x K x L x L.
        map: any finite factors: K x L x L; one for all channels, 1 x L x L or L x L; or painted over pixels,
            1 x S x S or S x S with S a multiple of L, of which every cell takes the mean.
        strength: T of them, with N = 1 or N = T.
        mask: the factors count inside it only; over cells or pixels as in `manipulate`.

    Returns:
        A new stylemap max(N, T) x K x L x L.

    Raises:
        ValueError: a map of another shape or not finite, batches that do not go together.
    """
    if w.ndim != 4:
        raise ValueError(f"w must be N x K x L x L, got {tuple(w.shape)}")
    factors = cells_of_map(map, (w.shape[1], w.shape[2], w.shape[3]))
    amount = per_sample(strength, w, "strength")
    count = broadcast_batch(len(amount), w.shape[0], "strengths")
    change = amount[:, None, None, None] * (factors.to(w.device, amount.dtype) - 1)
    if mask is not None:
        cells = pool_max(mask_over(mask, w.shape[-1], w.device), w.shape[-1])
        broadcast_batch(cells.shape[0], count, "masks")
        change = change * cells
    return (w * (1 + change)).to(w.dtype)


def cells_of_map(map: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The factors of a map over stylemaps of ``shape`` K x L x L, K x L x L or 1 x L x L, float32 or better.

    Raises:
        ValueError: another shape, values that are not finite.
    """
    channels, side, _ = shape
    factors = map[None] if map.ndim == 2 else map
    fits = factors.ndim == 3 and factors.shape[1] == factors.shape[2] and factors.shape[2] % side == 0
    painted = fits and factors.shape[2] > side
    if not fits or factors.shape[2] == 0 or factors.shape[0] not in ((1,) if painted else (1, channels)):
        raise ValueError(
            f"a map must be {channels} x {side} x {side}, 1 x {side} x {side}, or painted on S x S pixels "
            f"with S a multiple of {side}; got {' x '.join(str(length) for length in map.shape)}"
        )
    if not bool(factors.isfinite().all()):
        raise ValueError("a map must hold finite values")
    factors = factors.to(torch.promote_types(factors.dtype, torch.float32))
    return F.avg_pool2d(factors, factors.shape[2] // side) if painted else factors
