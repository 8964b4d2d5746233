"""Reconstruction error: distances of D(E(x)) from x (docs/network.md section 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from stylemap.model import Model

Distance = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def reconstruction(
    model: Model, images: Iterable[Tensor], distances: dict[str, Distance] | None = None
) -> dict[str, float]:
    """Mean squared error ("mse") and other distances, averaged over the images.

    images: batches N x 3 x S x S in [-1, 1]; what the model gives is compared as it is, not clamped.
    distances: name to (output, target) -> N values.

    Raises ValueError where there is no image.
    """
    every = {"mse": squared_error} | (distances or {})
    totals = dict.fromkeys(every, 0.0)
    count = 0
    for batch in images:
        output = model.decode(model.encode(batch))
        for name, distance in every.items():
            totals[name] += float(distance(output.float(), batch.float()).sum())
        count += len(batch)
    if not count:
        raise ValueError("there is no image to reconstruct")
    return {name: total / count for name, total in totals.items()}


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of each image: N values."""
    return (x - y).square().mean((1, 2, 3))
