"""What an edit is made of: handles of images, and references with their masks and shifts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.config import Config
from stylemap.edit.masks import as_mask, shift_in_cells
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
    mask = as_mask(mask.detach(), config.size, "cpu")  # a copy: it clamps
    if mask.shape[0] != 1:
        raise ValueError(f"a reference has one mask, got {mask.shape[0]}")
    box = _box(mask, config.size // config.resolutions[0])
    cells = {r: _cell_mask(mask, box, shift, r) for r in config.resolutions}
    return EditReference(image, mask, shift, cells)


def _box(mask: Tensor, cell: int) -> tuple[slice, slice] | None:
    """Rows and columns with all that is not 0, in whole cells of ``cell`` pixels; None where all is."""
    lines = mask[0, 0].amax(1).nonzero().flatten().tolist()
    columns = mask[0, 0].amax(0).nonzero().flatten().tolist()
    if not lines:
        return None
    rows, across = ((ends[0] // cell * cell, ends[-1] // cell * cell + cell) for ends in (lines, columns))
    return slice(*rows), slice(*across)


def _cell_mask(
    mask: Tensor, box: tuple[slice, slice] | None, shift: tuple[float, float], resolution: int
) -> CellMask:
    """Pooled within the box alone: outside it is off."""
    factor = mask.shape[-1] // resolution
    on = torch.zeros(1, 1, resolution, resolution, dtype=torch.bool, device=mask.device)
    if box is not None:
        rows, columns = (slice(ends.start // factor, ends.stop // factor) for ends in box)
        on[..., rows, columns] = F.avg_pool2d(mask[..., box[0], box[1]], factor) > 0.5
    dx, dy = shift_in_cells(shift, factor)
    on = shift_cells(on, dx, dy)[0, 0].contiguous()
    return CellMask(on, (dx, dy), bool(on.any()))
