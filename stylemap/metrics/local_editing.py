"""Errors of local edits: MSE_src outside the mask, MSE_ref inside it (docs/network.md section 10)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stylemap import edit
from stylemap.metrics.pairing import pair_by_iou
from stylemap.metrics.realism import border_band
from stylemap.model import Model

_CHUNK = 8


class LocalEditing(NamedTuple):
    """Means over pairs of images.

    mse_src: outside the mask, against the original. mse_ref: inside, against the reference.
    seam: distance (as given) of the edit from the two images pasted together, in a band along the mask's
        border; NaN without a distance.
    """

    mse_src: float
    mse_ref: float
    pairs: int
    seam: float = math.nan


@torch.no_grad()
def local_editing(
    model: Model,
    images: Callable[[list[int]], Tensor],
    masks: Tensor,
    *,
    space: Literal["w", "w+"] = "w+",
    seam: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    watch: Callable[[Tensor], None] | None = None,
) -> LocalEditing:
    """Edits every image of a greedy IoU pairing (`pair_by_iou`) with its partner.

    images: indices to N x 3 x S x S in [-1, 1]. masks: bool, one S x S mask of the edited part per index; the
    union of a pair's two masks is taken from the reference. seam: (edits, pasted images, bands) to N
    distances. watch: is shown the edits.

    Raises ValueError where no two images have the part.
    """
    pairs = pair_by_iou(masks)
    if not pairs:
        raise ValueError("no two images have the part that is to be edited")
    outside, inside, seams = 0.0, 0.0, 0.0
    for start in range(0, len(pairs), _CHUNK):
        originals, references = (list(side) for side in zip(*pairs[start : start + _CHUNK]))
        original, reference = images(originals), images(references)
        mask = (masks[originals] | masks[references])[:, None].to(original.device)
        edited = edit.local(model, model.encode(original), model.encode(reference), mask, space=space)
        outside += float(masked_error(edited, original, ~mask).sum())
        inside += float(masked_error(edited, reference, mask).sum())
        if seam is not None:
            seams += float(seam(edited, torch.where(mask, reference, original), border_band(mask)).sum())
        if watch is not None:
            watch(edited)
    along = seams / len(pairs) if seam is not None else math.nan
    return LocalEditing(outside / len(pairs), inside / len(pairs), len(pairs), along)


def masked_error(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over channels and the pixels of a mask N x 1 x S x S; 0 for an empty one."""
    squared = (x.float() - y.float()).square().mean(1, keepdim=True)
    return (squared * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)
