"""What an edit is made of: handles of images, and references with their masks and shifts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stylemap.config import Config
from stylemap.edit.masks import as_mask, pool_average, shift_in_cells
from stylemap.ops.reference import shift_cells


@dataclass(frozen=True)
class ImageHandle:
    """An image that a session has encoded. Numbers are never used twice, not by other sessions either."""

    number: int


@dataclass(frozen=True, eq=False)
class CellMask:
    """A reference at one resolution r: where it lies after its shift, and that shift.

    ``on``: r×r, bool; ``shift``: (dx, dy) in cells.
    """

    on: Tensor
    shift: tuple[int, int]
    any: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal masks and shifts."""
        return self.shift, self.on.numpy().tobytes()


@dataclass(frozen=True, eq=False)
class EditReference:
    """A part of an image that an edit puts into another: from `EditSession.reference`.

    ``mask``: 1×1×S×S, float32 in [0, 1], over the reference's own pixels (before its shift);
    ``shift``: (dx, dy) in pixels, right and down; ``cells``: the same for every resolution.
    """

    image: ImageHandle
    mask: Tensor
    shift: tuple[float, float]
    cells: dict[int, CellMask]


def edit_reference(
    image: ImageHandle, mask: Tensor, shift: tuple[float, float], config: Config
) -> EditReference:
    """A reference from a mask as `edit.masks.as_mask` takes it; its contents are copied.

    Raises:
        ValueError: a mask of another size, or more than one.
    """
    mask = as_mask(mask.detach(), config.size, "cpu").clone()
    if mask.shape[0] != 1:
        raise ValueError(f"a reference has one mask, got {mask.shape[0]}")
    cells = {r: _cell_mask(mask, shift, r) for r in config.resolutions}
    return EditReference(image, mask, shift, cells)


def _cell_mask(mask: Tensor, shift: tuple[float, float], resolution: int) -> CellMask:
    dx, dy = shift_in_cells(shift, mask.shape[-1] // resolution)
    on = shift_cells(pool_average(mask, resolution), dx, dy)[0, 0].contiguous()
    return CellMask(on, (dx, dy), bool(on.any()))
