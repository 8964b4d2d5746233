"""Edits on a CPU: `CpuPlan`, cached stylecodes and maps, paste and ring."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.decoding import Passing, Preview, Resumed
from stylemap.engine.cpu.edits import CodeEdit, Layouts, Sources
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
        self._ring = ring
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
                self._maker.lend(entry)

    def removed(self, number: int) -> None:
        """Forget an image."""
        super().removed(number)
        self._preview.forget(number)

    def cleared(self) -> None:
        """Forget all images."""
        super().cleared()
        self._maker.cleared()
        self._resumed.forget()
        self._preview.forget()

    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, T×3×S×S."""
        with self._cache.hold(edit.sources) as entries:
            maps = self._maker.lend(entries[0])
            edits = self._edits(edit.references, entries, maps)
            frames = []
            for weight in weights:
                keys = self._keys(edit, weight)
                frames.append(self._frame(maps, edits if weight else {}, weight, len(weights) > 1, keys))
            return torch.cat(frames)

    def preview(self, edit: Edit, weight: float) -> Tensor:
        """An approximation of `frames` with one weight, see `Preview`; exact where that gains little."""
        box = self._preview.box(edit.references)
        if box is None or not weight or not self._preview.pays(box):
            return self.frames(edit, [weight])
        with self._cache.hold(edit.sources) as entries, contextlib.ExitStack() as undo:
            maps = self._maker.lend(entries[0])
            self._preview.prepare(edit.original.number, maps)
            edits = self._edits(edit.references, entries, maps)
            with self.plan.arena() as arena:
                for each in edits.values():
                    undo.callback(each.apply(arena, weight, False))
            with self.stage("main path"):
                return self._preview(maps, box)

    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """The maps of ``a``, but those of the chosen stylecodes of ``b``; 1×3×S×S."""
        with self._cache.hold([a, b]) as entries:
            sources = [(b, entries[1]) if i in chosen else (a, entries[0]) for i in range(len(self._sides))]
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
        return {**super().stats(), "working_bytes": working, "reused_layers": self._resumed.reused}

    def _build(self, image: Image) -> Stored:
        return self._maker.new(image)

    def _gone(self, entry: Stored) -> None:
        self._maker.gone(entry, self._cache.bytes + entry.map_bytes <= self._cache.limit)

    def _reserve(self, count: int, reuse: bool) -> None:
        """Make room for so many bytes in the cache; with ``reuse`` they take the memory that is kept."""
        self._cache.reserve(count)
        spare = self._maker.spare_bytes
        if self._cache.bytes + (max(spare, count) if reuse else spare + count) > self._cache.limit:
            self._maker.forget()

    def _edits(
        self, references: Sequence[EditReference], entries: Sequence[Stored], maps: Sequence[Tensor]
    ) -> dict[int, CodeEdit]:
        """By stylecode, where a mask is on; ``entries``: of the original and the references."""
        layouts = Layouts(references, self.stage)
        return {
            index: CodeEdit(self._ring[index], layouts, Sources(self._maker, index, entries, maps[index]))
            for index, side in enumerate(self._sides)
            if any(mask.any for mask in layouts.masks(side))
        }

    def _frame(
        self,
        maps: list[Tensor],
        edits: dict[int, CodeEdit],
        weight: float,
        again: bool,
        keys: list[Hashable],
    ) -> Tensor:
        """One image 1×3×S×S; the maps are changed while it is made."""
        start = self._resumed.start(keys)
        with contextlib.ExitStack() as undo:
            with self.plan.arena() as arena:
                for index, edit in edits.items():
                    if index >= start:
                        undo.callback(edit.apply(arena, weight, again))
            with self.stage("main path"):
                return self._resumed(maps, keys)

    def _keys(self, edit: Edit, weight: float) -> list[Hashable]:
        """What the maps of every stylecode follow from: of the original alone where nothing is on."""
        keys: list[Hashable] = []
        for side in self._sides:
            found = [(reference.image.number, reference.cells[side]) for reference in edit.references]
            parts = tuple((number, mask.key) for number, mask in found if mask.any and weight)
            keys.append((edit.original.number, weight, parts) if parts else edit.original.number)
        return keys
