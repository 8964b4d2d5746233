"""What a session runs on: the interface, and the one that runs the model itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from stylemap import edit
from stylemap.engine.images import EditReference, Image
from stylemap.model import Blending, Model

#: Entered for a part of the work on a frame, by its name.
Stage = Callable[[str], AbstractContextManager[object]]
_NOTHING = contextlib.nullcontext()


def unwatched(name: str) -> AbstractContextManager[object]:
    """The `Stage` of a renderer whose time nobody measures."""
    return _NOTHING


class Renderer(Protocol):
    """Renders the images of one session. One thread at a time; images are float32.

    `CpuRenderer` and `GpuRenderer` cache what edits copy; `PlainRenderer` runs any `Model`.

    stage: what measures where the time goes may be put here. Names are "mask" (what an edit copies and
        convolves), "blend", "modulation" (the ring's maps) and "main path"; stages may lie in each other. A
        renderer that has no such parts enters none.
    """

    stage: Stage

    def own(self, w: Tensor) -> Tensor:
        """A copy of a stylemap, as `decode` takes it."""

    def encode(self, image: Tensor) -> Tensor:
        """Stylemap 1×K×L×L of an image 1×3×S×S in [-1, 1]."""

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S of stylemaps N×K×L×L."""

    def added(self, image: Image) -> None:
        """The session has a new image: a time to prepare what its edits need."""

    def removed(self, number: int) -> None:
        """Forget an image."""

    def cleared(self) -> None:
        """Forget all images."""

    def frames(
        self,
        original: Image,
        references: Sequence[EditReference],
        images: Sequence[Image],
        weights: Sequence[float],
    ) -> Tensor:
        """`edit.blend`, T×3×S×S; ``images`` are those of the references."""

    def preview(
        self, original: Image, references: Sequence[EditReference], images: Sequence[Image], weight: float
    ) -> Tensor:
        """An approximation of `frames` with one weight, 1×3×S×S; exact where that costs no more."""

    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """``a`` with the chosen stylecodes of ``b``, 1×3×S×S."""

    def stats(self) -> dict[str, int]:
        """Bytes of memory by kind, and counts."""


class PlainRenderer:
    """Edits by a model itself: `stylemap.edit` on stylemaps, without a cache."""

    def __init__(self, model: Model) -> None:
        self.stage: Stage = unwatched
        self._model = model

    def own(self, w: Tensor) -> Tensor:
        return w.detach().to(self._model.like, copy=True)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        return self._model.encode(image.to(self._model.like))

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
        if isinstance(self._model, Blending):
            return self._model.edit(original.w, ws, masks, shifts, weights, chunk=1).float()
        return edit.blend(self._model, original.w, ws, masks, shifts, weights, chunk=1).float()

    def preview(
        self, original: Image, references: Sequence[EditReference], images: Sequence[Image], weight: float
    ) -> Tensor:
        return self.frames(original, references, images, [weight])

    @torch.no_grad()
    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        return edit.mix_styles(self._model, a.w, b.w, sorted(chosen)).float()

    def stats(self) -> dict[str, int]:
        if not isinstance(self._model, torch.nn.Module):
            return {}
        return {"weight_bytes": sum(p.numel() * p.element_size() for p in self._model.parameters())}
