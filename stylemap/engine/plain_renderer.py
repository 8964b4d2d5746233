"""Edits by the model itself, for devices that have no plan: `stylemap.edit` on stylemaps."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap import edit
from stylemap.engine.cache import Image
from stylemap.engine.edits import EditReference
from stylemap.model import StyleMapGAN


class PlainRenderer:
    """What `EditSession` runs where there is no plan. Caches nothing but stylemaps."""

    def __init__(self, model: StyleMapGAN, device: torch.device, dtype: torch.dtype) -> None:
        like = next(model.parameters())
        if like.device != device or like.dtype != dtype:
            model = copy.deepcopy(model).to(device, dtype)
        self._model = model
        self._like = torch.empty(0, device=device, dtype=dtype)

    def own(self, w: Tensor) -> Tensor:
        """A copy of a stylemap, as `decode` takes it."""
        return w.detach().to(self._like, copy=True)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        return self._model.encode(image.to(self._like))

    @torch.no_grad()
    def decode(self, w: Tensor) -> Tensor:
        return self._model.decode(w).float()

    def added(self, image: Image) -> None:
        pass

    def removed(self, number: int) -> None:
        pass

    def cleared(self) -> None:
        pass

    @torch.no_grad()
    def frames(
        self,
        original: Image,
        references: Sequence[EditReference],
        images: Sequence[Image],
        weights: Sequence[float],
    ) -> Tensor:
        masks, shifts = [r.mask[0, 0] for r in references], [r.shift for r in references]
        ws = [image.w for image in images]
        return edit.blend(self._model, original.w, ws, masks, shifts, weights, chunk=1).float()

    @torch.no_grad()
    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        return edit.mix_styles(self._model, a.w, b.w, sorted(chosen)).float()

    def stats(self) -> dict[str, int]:
        return {"weight_bytes": sum(p.numel() * p.element_size() for p in self._model.parameters())}
