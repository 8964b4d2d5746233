"""From a scene and its masks to what the composer renders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylemap import ops
from stylemap.edit.masks import pool_max
from stylemap.edit.modulate_map import modulate_map
from stylemap.editor.clients import Snapshot
from stylemap.editor.composer import Composer, Part, Recipe
from stylemap.editor.scene import CAMERA, Scene
from stylemap.engine.images import ImageHandle

AMPLIFY = "amplify"
"""The slider that multiplies the stylemap by 1 + strength · mask: 1 doubles it, -1 silences it."""


class Recipes:
    """Recipes of one model.

    Args:
        directions: what sliders at 1 add to a stylemap, K×L×L by name.
    """

    def __init__(self, composer: Composer, directions: dict[str, Tensor]) -> None:
        self._composer, self.directions = composer, directions

    def make(
        self,
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
        scene, parts = snapshot.scene, []
        for reference in scene.references:
            mask = snapshot.masks.get(reference.mask)
            if reference.on and reference.opacity and mask is not None and mask.any():
                pixels = torch.from_numpy(mask).float() / 255
                parts.append(Part(handle(reference.image), pixels, reference.shift, reference.opacity))
        mix = scene.mix and (handle(scene.mix.image), scene.mix.codes)
        weight = scene.weight if weight is None else weight
        offset = self._offset(scene, snapshot.masks, original)
        return Recipe(original, parts, weight, offset, mix or None, scene.original == CAMERA)

    def _offset(
        self, scene: Scene, masks: dict[int, NDArray[np.uint8]], original: ImageHandle
    ) -> Tensor | None:
        """What all sliders together add to the original's stylemap; None where nothing."""
        total = torch.zeros(self._composer.config.stylemap_shape)
        for name, slider in scene.sliders.items():
            pixels = None
            if slider.mask is not None:
                if slider.mask not in masks:
                    continue
                pixels = torch.from_numpy(masks[slider.mask])[None].float() / 255
            if name in self.directions:
                step = slider.strength * self.directions[name]
                total += step if pixels is None else step * pool_max(pixels[None], total.shape[-1])[0]
            elif slider.strength:
                total += self._amplified(original, slider.strength, pixels)
        return total if bool(total.any()) else None

    def _amplified(self, original: ImageHandle, strength: float, pixels: Tensor | None) -> Tensor:
        """What multiplying the original's stylemap by a painted map adds to it. pixels: 1×S×S in [0, 1]."""
        w = self._composer.stylemap(original).float().cpu()
        painted = torch.ones(1, *w.shape[2:]) if pixels is None else pixels
        return (modulate_map(w, 1 + painted, strength) - w)[0]


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
