"""Edits over the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from stylemap.edit.masks import as_mask
from stylemap.inputs import ImageLike, MaskLike, image_batch

if TYPE_CHECKING:
    from stylemap.model import Model

FrameEdit = Callable[[Tensor, Tensor | None], Tensor]


def sequence(
    model: Model,
    frames: Iterable[ImageLike],
    edit: FrameEdit,
    *,
    masks: MaskLike | Iterable[MaskLike] | None = None,
) -> Iterator[Tensor]:
    """Encode, edit and decode frame after frame, one in memory at a time.

    Example: a fixed local edit of a clip,
    ``sequence(model, clip, lambda w, mask: local(model, w, reference_w, mask), masks=mask)``.

    Args:
        model: the network.
        frames: images 3 x S x S in [-1, 1], PIL images or numpy pixels: T x 3 x S x S or any iterable.
        edit: (w 1 x K x L x L, mask 1 x 1 x S x S or None) to the edited image 1 x 3 x S x S, or to a
            stylemap 1 x K x L x L, which is then decoded.
        masks: None; one mask S x S (or 1 x S x S) for all frames; or one per frame, as T x 1 x S x S or
            any iterable of masks; pictures as in `edit.masks.as_mask`.

    Yields:
        Edited images 3 x S x S in [-1, 1].

    Raises:
        ValueError: fewer masks than frames; an edit that returns another shape.
    """
    size = model.config.size
    fixed: Any = masks if masks is not None and _is_one_mask(masks) else None
    moving = iter(masks) if masks is not None and fixed is None else None  # type: ignore[arg-type]
    for index, frame in enumerate(frames):
        w = model.encode(image_batch(frame, size, model.like, "frames").reshape(-1, 3, size, size))
        mask = fixed if moving is None else next(moving, None)
        if mask is None and masks is not None:
            raise ValueError(f"there are only {index} masks, but frame {index + 1} needs one")
        result = edit(w, None if mask is None else as_mask(mask, size, w.device))
        if result.shape == w.shape:
            result = model.decode(result)
        if tuple(result.shape) != (1, 3, size, size):
            raise ValueError(
                f"the edit must return an image (1, 3, {size}, {size}) or a stylemap {tuple(w.shape)}, "
                f"got {tuple(result.shape)}"
            )
        yield result[0]


def _is_one_mask(masks: object) -> bool:
    if isinstance(masks, Tensor):
        return masks.ndim < 4 or masks.shape[0] == 1
    if isinstance(masks, np.ndarray):
        return masks.ndim == 2 or masks.shape[-1] == 1
    return isinstance(masks, str) or not isinstance(masks, Iterable)
