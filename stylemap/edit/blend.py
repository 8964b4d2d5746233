"""The interactive blend: several references, each with a mask and a shift, faded in by a weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from stylemap import ops
from stylemap.edit.checks import (
    MasksLike,
    ReferencesLike,
    ShiftsLike,
    broadcast_batch,
    check_pair,
    in_chunks,
    per_sample,
    references_with_masks,
)
from stylemap.edit.masks import as_mask, pool_average, shift_in_cells

if TYPE_CHECKING:
    from stylemap.model import Model


def frame_weights(count: int) -> list[float]:
    """The weights t / (count - 1) of a strip of ``count`` frames; one frame has weight 1."""
    if count < 1:
        raise ValueError(f"a strip needs at least 1 frame, got {count}")
    return [1.0] if count == 1 else [t / (count - 1) for t in range(count)]


def blend(
    model: Model,
    original_w: Tensor,
    reference_ws: ReferencesLike,
    masks: MasksLike,
    shifts: ShiftsLike | None = None,
    weights: float | Sequence[float] | Tensor = 1.0,
    *,
    opacities: Sequence[float] | None = None,
    chunk: int = 4,
) -> Tensor:
    """Blend references into the original in W+, one image per weight.

    At every stylecode of side r (q = S / r): each reference's mask is average-pooled by q and shifted
    by (int(dx / q), int(dy / q)); for each reference in order, where the shifted mask is on,
    code <- code + weight * (reference code shifted alike - code). What leaves the frame is lost.

    Args:
        model: the network.
        original_w: stylemap N x K x L x L.
        reference_ws: one stylemap per reference, batch N or 1; or a tensor k x K x L x L of k references.
        masks: one per reference, over the reference's own pixels (before its shift): S x S or N x 1 x S x S,
            or what else `edit.masks.as_mask` takes; or a tensor k x 1 x S x S of k masks.
        shifts: (dx, dy) in pixels per reference, right and down, or one for all; None shifts nothing.
        weights: 0 leaves the original, 1 is the full edit. T of them, with N = 1 or N = T.
        opacities: one per reference, which every weight is multiplied by for that reference; None: 1.
        chunk: how many images are decoded at once.

    Returns:
        max(T, N) x 3 x S x S in [-1, 1]. Without references, the original.

    Raises:
        ValueError: lists of different lengths, shapes that do not go together, a mask of another size.
    """
    reference_ws, masks, moves = references_with_masks(reference_ws, masks, shifts)
    if opacities is None:
        opacities = [1.0] * len(masks)
    elif len(opacities) != len(masks) or not all(map(math.isfinite, opacities)):
        raise ValueError(f"opacities: expected {len(masks)} finite numbers, got {list(opacities)}")
    weight = per_sample(weights, original_w)
    count = broadcast_batch(len(weight), original_w.shape[0], "weights")
    full = [
        as_mask(mask, model.config.size, original_w.device, f"masks[{index}]")
        for index, mask in enumerate(masks)
    ]
    for index, (reference, mask) in enumerate(zip(reference_ws, full)):
        check_pair(original_w, reference, "original_w", f"reference_ws[{index}]")
        count = broadcast_batch(count, reference.shape[0], "images")
        count = broadcast_batch(count, mask.shape[0], "images")
    originals = model.stylecodes(original_w)
    references = [model.stylecodes(reference) for reference in reference_ws]

    def render(part: slice) -> Tensor:
        alpha = weight if len(weight) == 1 else weight[part]
        mixed = [_of(code, part).expand(part.stop - part.start, -1, -1, -1) for code in originals]
        for codes, mask, shift, opacity in zip(references, full, moves, opacities):
            laid = [_of(code, part) for code in codes]
            mixed = lay_over(mixed, laid, _of(mask, part), shift, opacity * alpha, model.config.size)
        return model.synthesize(mixed)

    return in_chunks(count, chunk, render)


def lay_over(
    codes: Sequence[Tensor],
    reference: Sequence[Tensor],
    mask: Tensor,
    shift: tuple[float, float],
    weight: Tensor,
    size: int,
) -> list[Tensor]:
    """Stylecodes of N images with those of one reference laid over them, where its mask is on.

    Args:
        codes, reference: by stylecode N x C x r x r; of the reference also 1 x C x r x r.
        mask: N or 1 x 1 x S x S over the reference's own pixels.
        shift: (dx, dy) in pixels.
        weight: N or 1 of them.
        size: S.
    """
    return [
        ops.blend(
            code,
            laid,
            pool_average(mask, code.shape[-1]),
            shift=shift_in_cells(shift, size // code.shape[-1]),
            weight=weight,
        )
        for code, laid in zip(codes, reference)
    ]


def _of(x: Tensor, part: slice) -> Tensor:
    return x if x.shape[0] == 1 else x[part]
