"""From a scene and its masks to what the composer renders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylemap import ops
from stylemap.edit.masks import pool_max
from stylemap.editor.clients import Snapshot
from stylemap.editor.edits import Part, Recipe, Slide
from stylemap.editor.scene import CAMERA
from stylemap.engine.images import ImageHandle


def make(
    snapshot: Snapshot,
    original: ImageHandle,
    handle: Callable[[str], ImageHandle],
    weight: float | None = None,
) -> Recipe:
    """The edit of a snapshot on some original.

    Args:
        handle: of the images that the scene names.
        weight: instead of the scene's.
    """
    scene, masks, parts, slides = snapshot.scene, snapshot.masks, [], []
    for reference in scene.references:
        mask = masks.get(reference.mask)
        if reference.on and reference.opacity and mask is not None and mask.any():
            parts.append(Part(handle(reference.image), _pixels(mask), reference.shift, reference.opacity))
    for name, slider in scene.sliders.items():
        if slider.mask is None:
            slides.append(Slide(name, slider.strength))
        elif slider.mask in masks:
            slides.append(Slide(name, slider.strength, _pixels(masks[slider.mask])))
    mix = scene.mix and (handle(scene.mix.image), scene.mix.codes)
    weight = scene.weight if weight is None else weight
    return Recipe(original, parts, weight, None, mix or None, scene.original == CAMERA, slides)


def _pixels(mask: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(mask).float() / 255


def asked(snapshot: Snapshot, cells: int) -> Tensor | None:
    """Where an edit was asked for, S×S of 0 and 1; None for everywhere.

    cells: side of the stylemap, whose cells a slider's mask acts on.
    """
    scene = snapshot.scene
    sliders = [slider for slider in scene.sliders.values() if slider.strength]
    if scene.mix is not None or any(slider.mask is None for slider in sliders):
        return None
    planes = []
    for reference in scene.references:
        if reference.on and reference.mask in snapshot.masks:
            mask = torch.from_numpy(snapshot.masks[reference.mask])[None, None] / 255
            right, down = (round(pixels) for pixels in reference.shift)
            shift = (right, down)
            planes.append(ops.blend(torch.zeros_like(mask), mask, mask > 0.5, shift=shift)[0, 0])
    for slider in sliders:
        if slider.mask in snapshot.masks:
            pixels = torch.from_numpy(snapshot.masks[slider.mask])[None, None] / 255
            touched, factor = pool_max(pixels, cells)[0, 0] > 0, pixels.shape[-1] // cells
            planes.append(touched.repeat_interleave(factor, 0).repeat_interleave(factor, 1).float())
    return (torch.stack(planes).amax(0) > 0.5).float() if planes else None
