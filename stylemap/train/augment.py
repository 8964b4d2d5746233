"""Differentiable augmentation for small data sets (Zhao et al. 2020, "Differentiable Augmentation for
Data-Efficient GAN Training", arXiv 2006.10738).

The discriminator sees every image, real or generated, through random changes. It cannot learn a small set by
heart, and as gradients pass through the changes, the generator does not learn to make them. The ranges are
the paper's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def diff_augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Images N x 3 x S x S in [-1, 1] with other colours, moved, and with a square cut out; each its own way.

    random: on the CPU; the next calls of one generator give other changes. Differentiable in the images.
    """
    return cutout(translation(colour(images, random), random), random)


def colour(images: Tensor, random: torch.Generator) -> Tensor:
    """Brightness moved by up to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    draw = torch.rand(3, len(images), 1, 1, 1, generator=random).to(images)
    images = images + (draw[0] - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * draw[1])
    level = images.mean((1, 2, 3), keepdim=True)
    return level + (images - level) * (0.5 + draw[2])


def translation(images: Tensor, random: torch.Generator) -> Tensor:
    """Moved by up to an eighth of the size in x and y, with grey (0) where nothing moves in."""
    height, width = images.shape[-2:]
    reach = (height // 8, width // 8)
    rows, columns = (torch.randint(0, 2 * r + 1, (len(images),), generator=random).tolist() for r in reach)
    padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]))
    moved = [p[:, y : y + height, x : x + width] for p, y, x in zip(padded, rows, columns, strict=True)]
    return torch.stack(moved)


def cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """Grey (0) in a square of half the size; its centre is anywhere in the image."""
    height, width = images.shape[-2:]
    draw = torch.rand(2, len(images), 1, 1, 1, generator=random).to(images)
    y = torch.arange(height, device=images.device)[:, None] + 0.5
    x = torch.arange(width, device=images.device) + 0.5
    inside = ((y - draw[0] * height).abs() < height / 4) & ((x - draw[1] * width).abs() < width / 4)
    return images.masked_fill(inside, 0)
