"""Reconstruction and random samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylemap.edit.checks import in_chunks
from stylemap.inputs import ImagesLike
from stylemap.model.checks import seeded
from stylemap.model.classes import own_classes

if TYPE_CHECKING:
    from stylemap.model import Model


def reconstruct(model: Model, images: ImagesLike) -> Tensor:
    """D(E(x)): N x 3 x S x S in [-1, 1], or pictures (see `stylemap.inputs.ImagesLike`), to N x 3 x S x S."""
    return model.decode(model.encode(images))


def latents(model: Model, count: int, seed: int = 0) -> Tensor:
    """count x K values of z ~ N(0, 1), the same on every device; dtype and device are the model's.

    Image i of a seed does not depend on ``count``.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    weight = model.like
    generator = seeded(seed)
    rows = [torch.randn(model.config.latent_channel_size, generator=generator) for _ in range(count)]
    return torch.stack(rows).to(weight.device, weight.dtype)


def latents_of_class(model: Model, number: int, total: int, count: int, seed: int = 0) -> Tensor:
    """count x K values of z, drawn from N(0, 1), of those whose own class is ``number`` among ``total``
    (see `stylemap.model.classes.own_classes`)."""
    generator = seeded(seed)
    kept: list[Tensor] = []
    while sum(map(len, kept)) < count:
        z = torch.randn(64, model.config.latent_channel_size, generator=generator)
        z = z.to(model.like)
        kept.append(z[own_classes(z, total) == number])
    return torch.cat(kept)[:count]


def sample(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    mean_stylemap: Tensor | None = None,
    chunk: int = 8,
) -> Tensor:
    """Random images, count x 3 x S x S.

    Args:
        model: the network.
        count: how many.
        seed: of z.
        truncation: psi in mean + psi * (w - mean); 1 leaves w alone, 0 gives the mean image.
        mean_stylemap: as returned by ``model.mean_stylemap``; computed where it is needed and missing.
        chunk: how many images are decoded at once.

    Raises:
        ValueError: a count or chunk below 1.
    """
    z = latents(model, count, seed)
    if truncation != 1 and mean_stylemap is None:
        mean_stylemap = model.mean_stylemap()
    return in_chunks(
        count, chunk, lambda part: model.sample(z[part], truncation=truncation, mean_stylemap=mean_stylemap)
    )
