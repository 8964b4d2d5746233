"""Where pasted modulation maps are wrong: the ring around a mask's border that has to be convolved again.

gamma and beta are 3x3 convolutions of a stylecode. After an edit of the code, they are the (shifted)
reference's where the whole neighbourhood came from the reference, the original's where none of it did, and
something new where both did, or where the frame's border, which pads with zeros, has come or gone by the
shift.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def ring(mask: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Pixels whose maps have to be recomputed after ``blend`` of codes and of maps with the same arguments.

    Args:
        mask: N x 1 x H x W or H x W, bool: where the reference is wanted, before the shift (as for `blend`).
        shift: (dx, dy) in cells.

    Returns:
        A bool tensor N x 1 x H x W.
    """
    mask = mask if mask.ndim == 4 else mask[None, None]
    dx, dy = shift
    on, height, width = _moved(mask, dx, dy), mask.shape[-2], mask.shape[-1]
    some = F.max_pool2d(on.float(), 3, stride=1, padding=1) > 0
    some_not = F.max_pool2d((~on).float(), 3, stride=1, padding=1) > 0
    found = some & some_not
    if dx or dy:
        frame = torch.ones_like(mask)
        frame[..., 1 : height - 1, 1 : width - 1] = False
        found = found | (on & (frame | _moved(frame, dx, dy)))
    return found


def ring_rows(mask: Tensor, shift: tuple[int, int] = (0, 0), multiple: int = 1) -> Tensor:
    """The ring as `conv_rows_` takes it: int32 indices into N x H x W, padded with -1 to a multiple.

    On a GPU finding them waits for the device; a mask that is still on the CPU costs no wait.
    """
    rows = ring(mask, shift).flatten().nonzero().flatten().to(torch.int32)
    missing = -rows.numel() % multiple
    return F.pad(rows, (0, missing), value=-1) if missing else rows


def _moved(mask: Tensor, dx: int, dy: int) -> Tensor:
    height, width = mask.shape[-2:]
    if abs(dx) >= width or abs(dy) >= height:
        return torch.zeros_like(mask, dtype=torch.bool)
    return F.pad(mask.to(torch.uint8), (dx, -dx, dy, -dy)) > 0
