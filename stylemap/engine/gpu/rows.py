"""Where rows of pixels lie: the stylecodes, or the maps, of one image with equal widths are one tensor.

A GPU copies the rows of all of them at once then.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class RowSpace:
    """Tensors 1 × C × r × r, channels_last, stacked by width: one tensor rows × C for every C.

    Args:
        widths, sides: C and r of every tensor, by its index.
    """

    def __init__(self, widths: Sequence[int], sides: Sequence[int]) -> None:
        self.sides = list(sides)
        self.widths = list(dict.fromkeys(widths))
        self.kind = [self.widths.index(width) for width in widths]
        self.rows = [0] * len(self.widths)
        self.first = []
        for kind, side in zip(self.kind, self.sides, strict=True):
            self.first.append(self.rows[kind])
            self.rows[kind] += side * side

    @property
    def elements(self) -> int:
        return sum(rows * width for rows, width in zip(self.rows, self.widths, strict=True))

    def new(self, dtype: torch.dtype, device: torch.device, spare: int = 0) -> list[Tensor]:
        """Memory for one image; ``spare``: rows at the end of every tensor."""
        shapes = zip(self.rows, self.widths, strict=True)
        return [torch.zeros(rows + spare, width, dtype=dtype, device=device) for rows, width in shapes]

    def of(self, tensors: Sequence[Tensor], index: int) -> Tensor:
        """The rows of one index: r² × C, the same memory."""
        first = self.first[index]
        return tensors[self.kind[index]][first : first + self.sides[index] ** 2]

    def image(self, tensors: Sequence[Tensor], index: int) -> Tensor:
        """The same as 1 × C × r × r."""
        side = self.sides[index]
        return self.of(tensors, index).view(1, side, side, -1).permute(0, 3, 1, 2)

    def images(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [self.image(tensors, index) for index in range(len(self.sides))]
