"""Unaligned transplantation: rectangles of the reference's stylemap pasted anywhere in the original's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stylemap.edit.checks import check_pair

Box = tuple[tuple[int, int], tuple[int, int], int, int]


def transplant(original_w: Tensor, reference_w: Tensor, boxes: Sequence[Box]) -> Tensor:
    """Copy rectangles of cells from the reference to the original, in order.

    Args:
        original_w, reference_w: stylemaps N x K x L x L; batches of 1 broadcast.
        boxes: ((sy, sx), (ry, rx), height, width) in cells: the rectangle whose top left cell is
            (ry, rx) in the reference goes to (sy, sx) in the original.

    Returns:
        A new stylemap N x K x L x L.

    Raises:
        ValueError: shapes that do not go together, a rectangle that is empty or leaves the stylemap.
    """
    check_pair(original_w, reference_w, "original_w", "reference_w")
    side = original_w.shape[-1]
    batch = max(original_w.shape[0], reference_w.shape[0])
    result = original_w.expand(batch, -1, -1, -1).clone()
    for (sy, sx), (ry, rx), height, width in boxes:
        for name, y, x in (("original", sy, sx), ("reference", ry, rx)):
            if height < 1 or width < 1 or min(y, x) < 0 or y + height > side or x + width > side:
                raise ValueError(
                    f"a rectangle of {height} x {width} cells at row {y}, column {x} of the {name} "
                    f"does not lie in its stylemap of {side} x {side} cells"
                )
        source = reference_w[:, :, ry : ry + height, rx : rx + width]
        result[:, :, sy : sy + height, sx : sx + width] = source
    return result
