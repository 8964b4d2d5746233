"""The model behind the editor: what its scenes ask for, by one session.

Used by one of the scheduler's threads at a time; only what `Composer.work` returns runs beside it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from stylemap import edit
from stylemap.edit.blend import lay_over
from stylemap.edit.masks import as_mask, pool_max
from stylemap.edit.modulate_map import modulate_map
from stylemap.editor.edits import AMPLIFY, Part, Recipe
from stylemap.engine.images import ImageHandle
from stylemap.engine.plans import PlannedModel
from stylemap.engine.renderer import Patch
from stylemap.engine.session import EditSession
from stylemap.model import Conditional, Model
from stylemap.program.ring import cell_masks

_MAPPED = 512  # stylemaps that the mean and the usual distance from it are taken from
_STEP = 0.5  # of the usual distance between a stylemap and the mean
_KEPT_CODES = 9  # of as many images as one edit may have
_PLAIN_STEP = 10.0  # where a model has no mapping network to measure that with


class Composer:
    """Edits of one model by an `EditSession`, which caches what images share between frames.

    Args:
        model: a checkpoint in float32, or an exported model.
        precision: of a checkpoint's edits, see `EditSession`.
        cache_bytes: of what it keeps of images, likewise.

    ``directions``: what sliders at 1 add to a stylemap, K×L×L by name; none until they are set.

    Raises:
        ValueError: a precision that the device or an exported model does not have.
    """

    shared = 0

    def __init__(self, model: Model, precision: str = "fp32", cache_bytes: int | None = None) -> None:
        self.model = model
        self.config = model.config
        self.session = EditSession(model, model.like.device, precision, cache_bytes=cache_bytes)
        # An exported model has none.
        self.class_names: tuple[str, ...] = tuple(getattr(model, "class_names", ()))
        self.directions: dict[str, Tensor] = {}
        self._mapped: dict[str | None, tuple[Tensor, float]] = {}
        self._codes: OrderedDict[int, list[Tensor]] = OrderedDict()
        # Per reference (image, mask, shift, weight): by stylecode, what it changes.
        self._laid: OrderedDict[tuple[Any, ...], list[Patch | None]] = OrderedDict()
        self._aside = self.session.aside
        # Per owner: the offset of its sliders, as bytes, and the image they make of its original.
        self._moved: dict[str, tuple[Any, ImageHandle]] = {}

    @property
    def beside(self) -> bool:
        """Whether `work` makes pictures beside others: the model has a plan on a CPU."""
        return self._aside is not None

    @property
    def sliders(self) -> list[str]:
        """The names of all sliders: the directions, and `AMPLIFY`."""
        return [*self.directions, AMPLIFY]

    def add(self, image: Tensor, *, prepare: bool = True) -> ImageHandle:
        """Encode an image 3×S×S in [-1, 1]; prepare: as `EditSession.add` has it."""
        return self.session.add(image, prepare=prepare)

    def add_stylemap(self, w: Tensor) -> ImageHandle:
        """Keep a stylemap 1×K×L×L."""
        return self.session.add_stylemap(w.to(self.model.like))

    def remove(self, handle: ImageHandle) -> None:
        """Forget an image. Raises ValueError for one that is not here."""
        self._codes.pop(handle.number, None)
        for key in [key for key in self._laid if key[0] == handle.number]:
            del self._laid[key]
        self.session.remove(handle)

    def stylemap(self, handle: ImageHandle) -> Tensor:
        """1×K×L×L."""
        return self.session.stylemap(handle).to(self.model.like)

    def forget_temporary(self, owner: str) -> None:
        """Drop what was kept to render the same owner's next frame faster."""
        if owner in self._moved:
            self.session.remove(self._moved.pop(owner)[1])

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
        """The edited image 3×S×S on the CPU. The weight fades everything in: sliders and mixing too.

        owner: for whom the original with its sliders applied is kept, until `forget_temporary`.
        """
        recipe = self._resolved(recipe)
        session, original, parts, mix = self.session, recipe.original, recipe.parts, recipe.mix
        # On a plan, maps that serve one frame cost more than they save.
        once = recipe.passing and isinstance(self.model, PlannedModel)
        if once or (mix is not None and (parts or recipe.weight != 1)):
            made = self.work(recipe)
            return self._from_stylecodes(recipe, mix) if made is None else made()
        if recipe.offset is not None and mix is None and not parts:
            length = float(torch.linalg.vector_norm(recipe.offset))
            return session.manipulate(original, recipe.offset, length * recipe.weight).cpu()
        if recipe.offset is not None:
            original = self._moved_original(original, recipe.weight * recipe.offset, owner)
        if mix is not None:
            return session.mix(original, *mix).cpu()
        references = [session.reference(part.image, part.mask, part.shift, part.opacity) for part in parts]
        return session.edit(original, references, recipe.weight).cpu()

    def frames(self, recipe: Recipe, weights: Sequence[float], owner: str = "") -> Iterator[Tensor]:
        """The same edit with each of several weights, one after the other."""
        for weight in weights:
            yield self.render(replace(recipe, weight=weight), owner)

    def work(self, recipe: Recipe, picture: Tensor | None = None) -> Callable[[], Tensor] | None:
        """What makes the image of `render` without the session: any thread may call it, at any time, even
        when the images are gone. None where it is not `beside`.

        picture: 3×S×S in [-1, 1], in the place of the original; it is encoded by what is returned.
        """
        aside = self._aside
        if aside is None:
            return None
        known = None if picture is not None else self.session.stylemap(recipe.original)
        patches: list[list[Patch]] = [[] for _ in self.config.stylecode_shapes]
        if recipe.mix is not None:
            other = self._stylecodes(recipe.mix[0])
            for index in recipe.mix[1]:
                patches[index] += _some(Patch.of_image(other[index], recipe.weight))
        for part in recipe.parts:
            for found, patch in zip(patches, self._patches(part, recipe.weight * part.opacity)):
                found += _some(patch)

        def made() -> Tensor:
            w = aside.encode(picture[None]) if picture is not None else known
            assert w is not None
            offset = self._offset(recipe, w)
            moved = w if offset is None else w + recipe.weight * offset.to(w)
            return aside.decode(moved, patches)[0]

        return made

    def _patches(self, part: Part, weight: float) -> list[Patch | None]:
        """By stylecode; those of the references used last are kept."""
        mask = as_mask(part.mask, self.config.size, "cpu")
        key = part.image.number, part.shift, weight, mask.numpy().tobytes()
        found = self._laid.pop(key, None)
        if found is None:
            cells = cell_masks(mask, part.shift, self.config.resolutions)
            codes = self._stylecodes(part.image)
            found = [Patch.of_reference(code, cells[code.shape[-1]], weight) for code in codes]
        self._laid[key] = found
        while len(self._laid) > _KEPT_CODES:
            self._laid.popitem(last=False)
        return found

    def stats(self) -> dict[str, int]:
        """What the session keeps: images, and bytes of memory by kind."""
        return self.session.stats()

    def _from_stylecodes(self, recipe: Recipe, mix: tuple[ImageHandle, Sequence[int]] | None) -> Tensor:
        """By the model itself: mixing by parts or with references, which a session has no cache for."""
        w = self.stylemap(recipe.original)
        if recipe.offset is not None:
            w = w + recipe.weight * recipe.offset.to(w)
        codes = self.model.stylecodes(w)
        if mix is not None:
            other = self._stylecodes(mix[0])
            for index in mix[1]:
                codes[index] = torch.lerp(codes[index], other[index], recipe.weight)
        size = self.config.size
        for part in recipe.parts:
            weight = torch.tensor([recipe.weight * part.opacity], device=w.device)
            mask = as_mask(part.mask, size, w.device)
            codes = lay_over(codes, self._stylecodes(part.image), mask, part.shift, weight, size)
        return self.model.synthesize(codes)[0].float().cpu()

    def _resolved(self, recipe: Recipe) -> Recipe:
        """The same with the sliders as an offset."""
        if not recipe.sliders:
            return recipe
        return replace(recipe, offset=self._offset(recipe, self.stylemap(recipe.original)), sliders=())

    def _offset(self, recipe: Recipe, w: Tensor) -> Tensor | None:
        """What all sliders together add to the original's stylemap w, 1×K×L×L; None where nothing."""
        total = torch.zeros(self.config.stylemap_shape) if recipe.offset is None else recipe.offset.clone()
        for slide in recipe.sliders:
            pixels = None if slide.mask is None else slide.mask[None]
            if slide.name in self.directions:
                step = slide.strength * self.directions[slide.name]
                total += step if pixels is None else step * pool_max(pixels[None], total.shape[-1])[0]
            elif slide.name != AMPLIFY:
                raise ValueError(f"sliders: there is no {slide.name!r} here, but {', '.join(self.sliders)}")
            elif slide.strength:
                total += _amplified(w.float().cpu(), slide.strength, pixels)
        return total if bool(total.any()) else None

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

    def _stylecodes(self, handle: ImageHandle) -> list[Tensor]:
        """An image's stylecodes; those of the images used last are kept."""
        codes = self._codes.pop(handle.number, None)
        if codes is None:
            w = self.session.stylemap(handle)
            aside = self._aside
            codes = self.model.stylecodes(w.to(self.model.like)) if aside is None else aside.stylecodes(w)
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


def _amplified(w: Tensor, strength: float, pixels: Tensor | None) -> Tensor:
    """What multiplying a stylemap by a painted map adds to it. pixels: 1×S×S in [0, 1]."""
    painted = torch.ones(1, *w.shape[2:]) if pixels is None else pixels
    return (modulate_map(w, 1 + painted, strength) - w)[0]


def _some(patch: Patch | None) -> list[Patch]:
    return [] if patch is None else [patch]
