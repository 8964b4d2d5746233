"""Local editing: the reference inside a mask, the original outside (paper section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from stylemap.edit.checks import broadcast_batch, check_pair
from stylemap.edit.masks import as_mask, pool_max
from stylemap.inputs import MaskLike

if TYPE_CHECKING:
    from stylemap.model import Model


def local(
    model: Model,
    original_w: Tensor,
    reference_w: Tensor,
    mask: MaskLike,
    *,
    space: Literal["w", "w+"] = "w+",
) -> Tensor:
    """Take the reference where the mask is on.

    Args:
        model: the network.
        original_w, reference_w: stylemaps N x K x L x L; batches of 1 broadcast.
        mask: S x S or N x 1 x S x S, on where > 0.5, or a picture (see ``edit.masks.as_mask``). For a part
            of a face use the union of both images' part masks (``edit.union``).
        space: "w" mixes the stylemaps, "w+" every stylecode; the mask is max-pooled to each.

    Returns:
        Images N x 3 x S x S in [-1, 1].

    Raises:
        ValueError: shapes that do not go together, a mask of another size, an unknown space.
    """
    check_pair(original_w, reference_w, "original_w", "reference_w")
    mask = as_mask(mask, model.config.size, original_w.device)
    broadcast_batch(mask.shape[0], max(original_w.shape[0], reference_w.shape[0]), "masks")
    if space == "w":
        return model.decode(_pick(original_w, reference_w, mask))
    if space == "w+":
        originals, references = model.stylecodes(original_w), model.stylecodes(reference_w)
        return model.synthesize([_pick(a, b, mask) for a, b in zip(originals, references)])
    raise ValueError(f"space must be 'w' or 'w+', got {space!r}")


def _pick(original: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    return torch.where(pool_max(mask, original.shape[-1]), reference, original)
