"""The model behind the editor: one set of methods for checkpoints and exported models.

Used from one thread, the scheduler's.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from stylemap import edit, ops
from stylemap.edit.masks import as_mask, pool_average, shift_in_cells
from stylemap.engine.images import ImageHandle
from stylemap.engine.session import EditSession
from stylemap.model import Conditional, Model, StyleMapGAN

if TYPE_CHECKING:
    from stylemap.export.runtime import Runtime

_MAPPED = 512  # stylemaps that the mean and the usual distance from it are taken from
_STEP = 0.5  # of the usual distance between a stylemap and the mean
_KEPT_CODES = 9  # of as many images as one edit may have
_PLAIN_STEP = 10.0  # where a model has no mapping network to measure that with


@dataclass(frozen=True, eq=False)
class Part:
    """A reference: its image, the mask S×S over it, and how far it is moved, in pixels."""

    image: ImageHandle
    mask: Tensor
    shift: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Recipe:
    """One edit. ``offset``: K×L×L, what the sliders add to the original's stylemap, or None;
    ``mix``: the image that stylecodes are taken from, and which."""

    original: ImageHandle
    parts: Sequence[Part] = ()
    weight: float = 1.0
    offset: Tensor | None = None
    mix: tuple[ImageHandle, Sequence[int]] | None = None


class Composer:
    """Edits by the model itself; `SessionComposer` knows shorter ways.

    Args:
        model: a `StyleMapGAN`, or a `Runtime`.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.config = model.config
        self._like = model.like
        self._stylemaps: dict[int, Tensor] = {}
        self._numbers = itertools.count()
        self._mapped: dict[str | None, tuple[Tensor, float]] = {}
        # An exported model has none.
        self.class_names: tuple[str, ...] = tuple(getattr(model, "class_names", ()))
        self._codes: OrderedDict[int, list[Tensor]] = OrderedDict()

    def add(self, image: Tensor) -> ImageHandle:
        """Encode an image 3×S×S in [-1, 1]."""
        return self.add_stylemap(self.model.encode(image[None].to(self._like)))

    def add_stylemap(self, w: Tensor) -> ImageHandle:
        """Keep a stylemap 1×K×L×L."""
        handle = ImageHandle(next(self._numbers))
        self._stylemaps[handle.number] = w
        return handle

    def remove(self, handle: ImageHandle) -> None:
        self._codes.pop(handle.number, None)
        del self._stylemaps[handle.number]

    def stylemap(self, handle: ImageHandle) -> Tensor:
        """1×K×L×L."""
        return self._stylemaps[handle.number]

    def forget_temporary(self, owner: str) -> None:
        """Drop what was kept to render the same owner's next frame faster."""

    @torch.no_grad()
    def random(self, seed: int, truncation: float, class_name: str | None = None) -> Tensor:
        """A stylemap 1×K×L×L of a random image: mean + truncation · (w − mean).

        class_name: one of `class_names`, which has a mean of its own; None for the one that a seed has.

        Raises:
            FileNotFoundError: an exported model without its mapping network.
        """
        z = edit.latents(self.model, 1, seed)
        return self._mapping(class_name)[0].lerp(self._map(z, class_name), truncation)

    def usual_step(self) -> float:
        """A length that changes an image visibly, from how far this model's stylemaps lie apart."""
        try:
            return _STEP * self._mapping()[1]
        except FileNotFoundError:
            return _PLAIN_STEP

    @torch.no_grad()
    def render(self, recipe: Recipe, owner: str = "") -> Tensor:
        """The edited image 3×S×S. The weight fades everything in: sliders and mixing too."""
        w = self.stylemap(recipe.original)
        if recipe.offset is not None:
            w = w + recipe.weight * recipe.offset.to(w)
        codes = self.model.stylecodes(w)
        if recipe.mix is not None:
            other = self._stylecodes(recipe.mix[0])
            for index in recipe.mix[1]:
                codes[index] = torch.lerp(codes[index], other[index], recipe.weight)
        size, weight = self.config.size, torch.tensor([recipe.weight], device=w.device)
        for part in recipe.parts:
            full = as_mask(part.mask, size, w.device)
            laid = self._stylecodes(part.image)
            for index, (code, reference) in enumerate(zip(codes, laid)):
                side = code.shape[-1]
                on, cells = pool_average(full, side), shift_in_cells(part.shift, size // side)
                codes[index] = ops.blend(code, reference, on, shift=cells, weight=weight)
        return self.model.synthesize(codes)[0].float().cpu()

    def stats(self) -> dict[str, int]:
        """What the model keeps."""
        return {"images": len(self._stylemaps)}

    def _stylecodes(self, handle: ImageHandle) -> list[Tensor]:
        """An image's stylecodes; those of the images used last are kept."""
        codes = self._codes.pop(handle.number, None) or self.model.stylecodes(self.stylemap(handle))
        self._codes[handle.number] = codes
        while len(self._codes) > _KEPT_CODES:
            self._codes.popitem(last=False)
        return codes

    @torch.no_grad()
    def _mapping(self, class_name: str | None = None) -> tuple[Tensor, float]:
        """The mean stylemap of all classes or of one, and the usual (root mean square) distance from it."""
        if class_name not in self._mapped:
            w = self._map(edit.latents(self.model, _MAPPED, 0), class_name)
            mean = w.mean(0, keepdim=True)
            self._mapped[class_name] = mean, float((w - mean).flatten(1).square().sum(1).mean().sqrt())
        return self._mapped[class_name]

    def _map(self, z: Tensor, class_name: str | None) -> Tensor:
        if class_name is None:
            return self.model.map(z)
        number = self.class_names.index(class_name)
        return cast(Conditional, self.model).map(z, torch.full((len(z),), number))


class SessionComposer(Composer):
    """Edits by an `EditSession`, which caches what images share between frames."""

    def __init__(self, model: StyleMapGAN, precision: str = "fp32", cache_bytes: int = 512 << 20) -> None:
        super().__init__(model)
        self.session = EditSession(model, self._like.device, precision, cache_bytes=cache_bytes)
        # Per owner: the offset of its sliders, as bytes, and the image they make of its original.
        self._moved: dict[str, tuple[Any, ImageHandle]] = {}

    def add(self, image: Tensor) -> ImageHandle:
        return self.session.add(image)

    def add_stylemap(self, w: Tensor) -> ImageHandle:
        return self.session.add_stylemap(w.to(self._like))

    def remove(self, handle: ImageHandle) -> None:
        self._codes.pop(handle.number, None)
        self.session.remove(handle)

    def stylemap(self, handle: ImageHandle) -> Tensor:
        return self.session.stylemap(handle).to(self._like)

    def forget_temporary(self, owner: str) -> None:
        if owner in self._moved:
            self.session.remove(self._moved.pop(owner)[1])

    @torch.no_grad()
    def render(self, recipe: Recipe, owner: str = "") -> Tensor:
        session, original, offset, mix = self.session, recipe.original, recipe.offset, recipe.mix
        if offset is not None and mix is None and not recipe.parts:
            length = float(torch.linalg.vector_norm(offset))
            return session.manipulate(original, offset, length * recipe.weight).cpu()
        # A weight below 1 moves and mixes by parts, which the session has no cache for.
        if recipe.weight != 1 and (offset is not None or mix is not None):
            return super().render(recipe, owner)
        if mix is not None and recipe.parts:
            return super().render(recipe, owner)
        if offset is not None:
            original = self._moved_original(original, offset, owner)
        if mix is not None:
            return session.mix(original, *mix).cpu()
        parts = [session.reference(part.image, part.mask, part.shift) for part in recipe.parts]
        return session.edit(original, parts, recipe.weight).cpu()

    def stats(self) -> dict[str, int]:
        return self.session.stats()

    def _moved_original(self, original: ImageHandle, offset: Tensor, owner: str) -> ImageHandle:
        """The original with the sliders applied: kept while they rest and masks are painted."""
        key = original.number, offset.numpy().tobytes()
        kept = self._moved.get(owner)
        if kept is None or kept[0] != key:
            self.forget_temporary(owner)
            w = self.session.stylemap(original)
            kept = key, self.session.add_stylemap(w + offset.to(w))
            self._moved[owner] = kept
        return kept[1]


def open_composer(model: StyleMapGAN | Runtime, precision: str, cache_bytes: int) -> Composer:
    """The composer that fits a model: `EditSession` for checkpoints, the model itself for exported ones."""
    if isinstance(model, StyleMapGAN):
        return SessionComposer(model, precision, cache_bytes)
    return ExportedComposer(model)


class ExportedComposer(Composer):
    """Edits by the graphs of an exported model, the editor graph where it suffices."""

    def __init__(self, model: Runtime) -> None:
        super().__init__(model)
        self.runtime = model

    @torch.no_grad()
    def render(self, recipe: Recipe, owner: str = "") -> Tensor:
        if recipe.mix is not None:
            return super().render(recipe, owner)
        w = self.stylemap(recipe.original)
        if recipe.offset is not None:
            w = w + recipe.weight * recipe.offset.to(w)
        if not recipe.parts:
            return self.runtime.decode(w)[0].cpu()
        ws = [self.stylemap(part.image) for part in recipe.parts]
        masks = [part.mask for part in recipe.parts]
        shifts = [(int(part.shift[0]), int(part.shift[1])) for part in recipe.parts]
        return self.runtime.edit(w, ws, masks, shifts, recipe.weight)[0].cpu()
