"""Interpolation between two stylemaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from stylemap.edit.checks import broadcast_batch, check_pair, in_chunks, per_sample

if TYPE_CHECKING:
    from stylemap.model import Model


def interpolate(
    model: Model,
    w1: Tensor,
    w2: Tensor,
    weights: float | Sequence[float] | Tensor,
    *,
    chunk: int = 8,
) -> Tensor:
    """Decode weight * w1 + (1 - weight) * w2, one image per weight.

    Args:
        model: the network.
        w1, w2: stylemaps N x K x L x L; batches of 1 broadcast.
        weights: of w1; values outside [0, 1] extrapolate. T of them, with N = 1 or N = T.
        chunk: how many images are decoded at once.

    Returns:
        max(T, N) x 3 x S x S in [-1, 1].

    Raises:
        ValueError: shapes or batches that do not go together.
    """
    check_pair(w1, w2, "w1", "w2")
    weight = per_sample(weights, w1)
    batch = max(w1.shape[0], w2.shape[0])
    count = broadcast_batch(len(weight), batch, "weights")
    weight = weight.expand(count)[:, None, None, None]
    mixed = (weight * w1 + (1 - weight) * w2).to(w1.dtype)
    return in_chunks(count, chunk, lambda part: model.decode(mixed[part]))
