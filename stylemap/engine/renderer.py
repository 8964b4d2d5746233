"""What runs a session: the interface, what renderers share, and the one for models without a plan."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.edit import blend, mix_styles
from stylemap.engine.images import Edit, Image, ImageCache, K
from stylemap.model import Blending, Model
from stylemap.program.ring import CellMask

#: Entered for a part of the work on a frame, by its name.
Stage = Callable[[str], AbstractContextManager[object]]
_NOTHING = contextlib.nullcontext()


def unwatched(name: str) -> AbstractContextManager[object]:
    """The `Stage` of a renderer whose time nobody measures."""
    return _NOTHING


class Plan(Protocol):
    """A model's weights, made ready for one device and precision. Shapes are those of `StyleMapGAN`."""

    config: Config
    precision: str
    like: Tensor  # of the dtype and on the device of images and stylemaps

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap."""

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes."""

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps."""

    @property
    def bytes(self) -> dict[str, int]:
        """Memory held: ``weights`` and ``activations``."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What an edit puts into one stylecode.

    ``cells``: their numbers y·r + x, or None for all of them. ``rows``: of the other image, cells × channels.
    ``weight``: 1 replaces the code's own rows by them, what is less mixes both.
    """

    cells: Tensor | None
    rows: Tensor
    weight: float

    def apply(self, code: Tensor) -> None:
        """Change a code 1×r×r×C in place."""
        rows = code.view(-1, code.shape[-1])
        if self.cells is None:
            rows.lerp_(self.rows, self.weight)
        elif self.weight == 1:
            rows.index_copy_(0, self.cells, self.rows)
        else:
            own = rows.index_select(0, self.cells)
            rows.index_copy_(0, self.cells, own.lerp_(self.rows, self.weight))

    @classmethod
    def of_reference(cls, code: Tensor, mask: CellMask, weight: float) -> Patch | None:
        """That of a reference, where its mask is on anywhere. code: of its image, 1×C×r×r."""
        if not mask.any or not weight:
            return None
        cells = mask.on.flatten().nonzero().flatten()
        dx, dy = mask.shift
        return cls(cells, _rows(code).index_select(0, cells - (dy * code.shape[-1] + dx)), weight)

    @classmethod
    def of_image(cls, code: Tensor, weight: float) -> Patch | None:
        """That of a whole stylecode 1×C×r×r of another image."""
        return cls(None, _rows(code), weight) if weight else None


class Aside(Protocol):
    """Makes images beside a session, from what it is given: nothing is cached, and any number of threads may
    call at once. Tensors are those of the session's device and precision.
    """

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap 1×K×L×L of an image 1×3×S×S in [-1, 1]."""

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""

    def decode(self, w: Tensor, patches: Sequence[Sequence[Patch]]) -> Tensor:
        """The image 1×3×S×S of a stylemap 1×K×L×L, with patches of every stylecode, one over the other."""


class Renderer(ABC):
    """Renders the images of one session. One thread at a time; images are float32.

    `CpuRenderer` and `GpuRenderer` cache what edits copy; `PlainRenderer` runs any `Model`.

    stage: what measures where the time goes may be put here. Names are "mask" (what an edit copies and
        convolves), "blend", "modulation" (the ring's maps) and "main path"; stages may lie in each other. A
        renderer that has no such parts enters none.
    """

    def __init__(self, model: Model | Plan) -> None:
        self.stage: Stage = unwatched
        self._runs = model

    @property
    def aside(self) -> Aside | None:
        """What makes images beside the session; None where nothing does."""
        return None

    def own(self, w: Tensor) -> Tensor:
        """A copy of a stylemap, as `decode` takes it."""
        return w.detach().to(self._runs.like, copy=True)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Stylemap 1×K×L×L of an image 1×3×S×S in [-1, 1]."""
        return self._runs.encode(image.to(self._runs.like))

    @torch.no_grad()
    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S of stylemaps N×K×L×L."""
        return self._runs.decode(w)

    @abstractmethod
    def added(self, image: Image) -> None:
        """The session has a new image: a time to prepare what its edits need."""

    @abstractmethod
    def removed(self, number: int) -> None:
        """Forget an image."""

    @abstractmethod
    def cleared(self) -> None:
        """Forget all images."""

    @abstractmethod
    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, T×3×S×S."""

    def preview(self, edit: Edit, weight: float) -> Tensor:
        """An approximation of `frames` with one weight, 1×3×S×S; exact where that costs no more."""
        return self.frames(edit, [weight])

    @abstractmethod
    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """``a`` with the chosen stylecodes of ``b``, 1×3×S×S."""

    def stats(self) -> dict[str, int]:
        """Bytes of memory by kind, and counts."""
        return {}


class CachingRenderer(Renderer, Generic[K]):
    """A renderer on a plan, which keeps stylecodes and maps of images for the edits to come.

    entry_bytes: of all stylecodes and maps of one image.

    Args:
        entry_bytes: see above. new_bytes: of what `_build` makes. limit: most bytes that are kept.
    """

    def __init__(self, plan: Plan, entry_bytes: int, new_bytes: int, limit: int) -> None:
        super().__init__(plan)
        self.plan = plan
        self.entry_bytes = entry_bytes
        self._cache = ImageCache(self._build, new_bytes, limit, gone=self._gone)

    @abstractmethod
    def _build(self, image: Image) -> K:
        """What is kept of an image from the start.

        Raises:
            ValueError: values that the precision of the cache cannot hold.
        """

    def _gone(self, entry: K) -> None:
        """An entry is no longer kept."""
        return None

    def added(self, image: Image) -> None:
        """Make the entry of an image now, if there is room for any."""
        self._cache.prefetch(image)

    def removed(self, number: int) -> None:
        """Forget an image."""
        self._cache.drop(number)

    def cleared(self) -> None:
        """Forget all images."""
        self._cache.clear()

    def stats(self) -> dict[str, int]:
        """Of the cache and of the plan, which other sessions may share."""
        cache, memory = self._cache, self.plan.bytes
        return {
            "cached_images": len(cache),
            "cache_bytes": cache.bytes,
            "cache_limit_bytes": cache.limit,
            "code_bytes": cache.code_bytes,
            "map_bytes": cache.map_bytes,
            "weight_bytes": memory["weights"],
            "activation_bytes": memory["activations"],
            "hits": cache.hits,
            "misses": cache.misses,
            "evictions": cache.evictions,
        }


class PlainRenderer(Renderer):
    """Edits by a model itself: `stylemap.edit` on stylemaps, without a cache."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._model = model

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S of stylemaps N×K×L×L."""
        return super().decode(w).float()

    def added(self, image: Image) -> None:
        """Nothing is prepared."""

    def removed(self, number: int) -> None:
        """Nothing was kept."""

    def cleared(self) -> None:
        """Nothing was kept."""

    @torch.no_grad()
    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, by the model's own graph for it where it has one."""
        if not edit.references:
            return self.decode(edit.original.w).repeat(len(weights), 1, 1, 1)
        masks, shifts = [r.mask[0, 0] for r in edit.references], [r.shift for r in edit.references]
        ws = [image.w for image in edit.images]
        opacities = [reference.weight for reference in edit.references]
        if isinstance(self._model, Blending) and all(opacity == 1 for opacity in opacities):
            return self._model.edit(edit.original.w, ws, masks, shifts, weights, chunk=1).float()
        made = blend(self._model, edit.original.w, ws, masks, shifts, weights, opacities=opacities, chunk=1)
        return made.float()

    @torch.no_grad()
    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """`edit.mix_styles`."""
        return mix_styles(self._model, a.w, b.w, sorted(chosen)).float()

    def stats(self) -> dict[str, int]:
        """Of the model, where it is a module."""
        if not isinstance(self._model, torch.nn.Module):
            return {}
        return {"weight_bytes": sum(p.numel() * p.element_size() for p in self._model.parameters())}


def _rows(code: Tensor) -> Tensor:
    """(r·r)×C of 1×C×r×r."""
    return code[0].permute(1, 2, 0).reshape(-1, code.shape[1])
