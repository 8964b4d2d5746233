"""Edits on a CPU: `CpuPlan`, cached stylecodes and maps, paste and ring."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.decoding import Passing, Preview, Resumed
from stylemap.engine.cpu.edits import Layouts, Making, MapsEdit, Original
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.stored import Maker, Stored
from stylemap.engine.images import Edit, EditReference, Image
from stylemap.engine.renderer import CachingRenderer


class CpuRenderer(CachingRenderer[Stored]):
    """What `EditSession` runs on a CPU. One thread at a time.

    ``ring``: `CpuPlan.ring`.
    """

    plan: CpuPlan

    def __init__(
        self, plan: CpuPlan, ring: Sequence[Convolution], cache_bytes: int, cache_dtype: torch.dtype
    ) -> None:
        self._sides = [height for _, height, _ in plan.config.stylecode_shapes]
        self._dtype = cache_dtype
        self._maker = Maker(plan, cache_dtype, self._reserve)
        super().__init__(plan, self._maker.entry_bytes, self._maker.new_bytes, cache_bytes)
        self._making = Making(self._maker, ring)
        self._painted: Original | None = None
        self._resumed = Resumed(plan)
        self._preview = Preview(plan)

    @property
    def aside(self) -> Passing:
        """Runs of the plan that keep nothing."""
        return Passing(self.plan)

    def added(self, image: Image) -> None:
        """Make the coarse stylecodes of an image, and all its maps if no image has them: it is likely to be
        the original of the first edit. Nothing that would have no room.
        """
        super().added(image)
        if self.entry_bytes <= self._cache.limit and not any(entry.ready for entry in self._cache):
            with self._cache.hold([image]) as (entry,):
                self._original(entry)

    def removed(self, number: int) -> None:
        """Forget an image."""
        super().removed(number)
        self._preview.forget(number)

    def cleared(self) -> None:
        """Forget all images."""
        super().cleared()
        self._painted = None
        self._maker.cleared()
        self._resumed.forget()
        self._preview.forget()

    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, T×3×S×S."""
        with self._cache.hold(edit.sources) as entries:
            original = self._original(entries[0])
            edited = self._edit(edit.references, entries, original)
            frames = []
            for weight in weights:
                keys = self._keys(edit, weight)
                with self.plan.arena() as arena:
                    edited.apply(arena, weight, keys, self._resumed.start(keys), len(weights) > 1)
                with self.stage("main path"):
                    frames.append(self._resumed(original.maps, keys))
            return torch.cat(frames)

    def preview(self, edit: Edit, weight: float) -> Tensor:
        """An approximation of `frames` with one weight, see `Preview`; exact where that gains little."""
        box = self._preview.box(edit.references)
        if box is None or not weight or not self._preview.pays(box):
            return self.frames(edit, [weight])
        with self._cache.hold(edit.sources) as entries:
            original = self._original(entries[0])
            if not self._preview.knows(edit.original.number):
                self._restore()
                self._preview.prepare(edit.original.number, original.maps)
            with self.plan.arena() as arena:
                edited = self._edit(edit.references, entries, original)
                edited.apply(arena, weight, self._keys(edit, weight))
            with self.stage("main path"):
                return self._preview(original.maps, box)

    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """The maps of ``a``, but those of the chosen stylecodes of ``b``; 1×3×S×S."""
        with self._cache.hold([a, b]) as entries:
            sources = [(b, entries[1]) if i in chosen else (a, entries[0]) for i in range(len(self._sides))]
            self._restore()
            self._painted = None
            self._maker.take_back()
            for entry in entries:
                self._maker.complete(entry, [i for i, source in enumerate(sources) if source[1] is entry])
            maps = self._maker.in_float32([entry.maps[i].values for i, (_, entry) in enumerate(sources)])
            with self.stage("main path"):
                return self._resumed(maps, [image.number for image, _ in sources])

    def stats(self) -> dict[str, int]:
        """Of the cache, of the plan, and of what the last images left."""
        working = self._maker.spare_bytes + self._maker.float32_bytes
        working += self._resumed.bytes + self._preview.bytes
        working += 0 if self._painted is None else self._painted.bytes
        return {**super().stats(), "working_bytes": working, "reused_layers": self._resumed.reused}

    def _build(self, image: Image) -> Stored:
        return self._maker.new(image)

    def _gone(self, entry: Stored) -> None:
        if self._painted is not None and self._painted.image is entry:
            self._painted = None
        self._maker.gone(entry, self._cache.bytes + entry.map_bytes <= self._cache.limit)

    def _reserve(self, count: int, reuse: bool) -> None:
        """Make room for so many bytes in the cache; with ``reuse`` they take the memory that is kept."""
        self._cache.reserve(count)
        spare = self._maker.spare_bytes
        if self._cache.bytes + (max(spare, count) if reuse else spare + count) > self._cache.limit:
            self._maker.forget()

    def _original(self, image: Stored) -> Original:
        """An image whose maps the edits to come change; all others' are their own."""
        if self._painted is None or self._painted.image is not image:
            self._restore()
            self._painted = None
            self._painted = Original(image, self._maker.lend(image), self._dtype)
        return self._painted

    def _restore(self) -> None:
        """Make the maps of the original its own again."""
        if self._painted is not None:
            with self.plan.arena() as arena:
                self._painted.restore(arena)

    def _edit(
        self, references: Sequence[EditReference], entries: Sequence[Stored], original: Original
    ) -> MapsEdit:
        """``entries``: of the original and the references."""
        return MapsEdit(original, Layouts(references, self.stage), entries, self._making)

    def _keys(self, edit: Edit, weight: float) -> list[Hashable]:
        """What the maps of every stylecode follow from: of the original alone where nothing is on."""
        keys: list[Hashable] = []
        for side in self._sides:
            found = [(each.image.number, each.weight, each.cells[side]) for each in edit.references]
            parts = tuple((number, part, mask.key) for number, part, mask in found if mask.any and weight)
            keys.append((edit.original.number, weight, parts) if parts else edit.original.number)
        return keys
