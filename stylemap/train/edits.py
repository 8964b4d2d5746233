"""Training for local edits, which the published recipe does without: the reference inside a mask, the
original outside, compared with both images there.

The error of a local edit lies close to the border of its mask, where cells of low-resolution stylecodes
reach across (max pooling takes the whole cell from the reference), so there is much to learn for the finer
ones. Not on the border itself: a model that has to reproduce the seam of two pasted images would no longer
blend them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.metrics.local_editing import masked_error
from stylemap.train.config import TrainConfig

_SHAPES = 3
_SMALLEST, _LARGEST = 0.04, 0.35  # radii, in widths of the image
_FREE = 64  # the border that is not compared reaches 1/64 of the width to either side


def edits_locally(config: TrainConfig) -> bool:
    """Whether any loss of local edits has a weight."""
    weights = config.lambdas
    return any(
        (weights.local_src, weights.local_ref, weights.local_efficientnet, weights.local_d, weights.local_e)
    )


def random_masks(count: int, size: int, generator: torch.Generator) -> Tensor:
    """bool count x 1 x size x size: up to three ellipses, each added to the mask or cut out of it.

    From the size of an eye to that of a hair style; about as many small ones as large ones.
    """
    draw = torch.rand(6, count, _SHAPES, 1, 1, generator=generator)
    wide, high = (_SMALLEST * (_LARGEST / _SMALLEST) ** draw[i] for i in (0, 1))
    turn = torch.pi * draw[2]
    across = (torch.arange(size) + 0.5) / size
    x, y = across[None, :] - draw[3], across[:, None] - draw[4]
    along, beside = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    inside = (along / wide).square() + (beside / high).square() < 1
    added = draw[5] < 0.6
    mask = inside[:, 0]
    for shape in range(1, _SHAPES):
        mask = torch.where(added[:, shape], mask | inside[:, shape], mask & ~inside[:, shape])
    return mask[:, None]


def next_image(x: Tensor) -> Tensor:
    """The batch moved by one: which image is whose reference."""
    return x.roll(-1, 0)


def pasted(images: Tensor, mask: Tensor) -> Tensor:
    """Every image N x 3 x S x S with its reference (`next_image`) inside its mask, bool N x 1 x S x S."""
    return torch.where(mask, next_image(images), images)


def local_errors(edited: Tensor, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(outside, inside): mean squared error of edits against the originals outside the mask, and against
    the references (`next_image`) inside, both away from the mask's border.

    edited, images: N x 3 x S x S. mask: bool N x 1 x S x S. Every mask counts the same, whatever its size.
    """
    near = border(mask, max(1, mask.shape[-1] // _FREE))
    outside = masked_error(edited, images, ~mask & ~near)
    inside = masked_error(edited, next_image(images), mask & ~near)
    return outside.mean(), inside.mean()


def border(mask: Tensor, reach: int) -> Tensor:
    """Pixels with both kinds within ``reach`` pixels: bool, as the mask."""
    both = torch.cat([mask, ~mask], 1).float()
    return F.max_pool2d(both, 2 * reach + 1, stride=1, padding=reach).prod(1, keepdim=True) > 0
