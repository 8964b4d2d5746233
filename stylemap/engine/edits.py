"""What an edit is made of: handles of images, and references with their masks and shifts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stylemap.config import Config
from stylemap.edit.masks import as_mask
from stylemap.program.ring import CellMask, cell_masks


@dataclass(frozen=True)
class ImageHandle:
    """An image that a session has encoded. Numbers are never used twice, not by other sessions either."""

    number: int


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
    return EditReference(image, mask, shift, cell_masks(mask, shift, config.resolutions))
