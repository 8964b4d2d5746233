"""Edits on a CPU: `CpuPlan`, cached stylecodes and maps, paste and ring."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import empty_on_huge_pages
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.decoding import Preview, Resumed
from stylemap.engine.cpu.edits import CodeEdit, Layouts
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.images import Edit, EditReference, Entry, Image
from stylemap.engine.renderer import CachingRenderer

_ALIGNED = 32  # values: whole cache lines in any type


class CpuRenderer(CachingRenderer):
    """What `EditSession` runs on a CPU. One thread at a time.

    ``ring``: `CpuPlan.ring`.
    """

    plan: CpuPlan

    def __init__(
        self, plan: CpuPlan, ring: Sequence[Convolution], cache_bytes: int, cache_dtype: torch.dtype
    ) -> None:
        code_values = sum(math.prod(shape) for shape in plan.config.stylecode_shapes)
        self._sides = [height for _, height, _ in plan.config.stylecode_shapes]
        self._map_shapes = [plan.maps_shape(i) for i in range(len(self._sides))]
        map_values = sum(math.prod(shape) for shape in self._map_shapes)
        super().__init__(plan, code_values, map_values, cache_dtype, cache_bytes, reuse=True)
        self._ring = ring
        self._resumed = Resumed(plan)
        self._preview = Preview(plan)
        self._buffers: list[Tensor] = []
        self._working: int | None = None

    def removed(self, number: int) -> None:
        """Forget an image."""
        super().removed(number)
        self._preview.forget(number)
        if self._working == number:
            self._working = None

    def cleared(self) -> None:
        """Forget all images."""
        super().cleared()
        self._buffers, self._working = [], None
        self._resumed.forget()
        self._preview.forget()

    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, T×3×S×S."""
        with self._cache.hold(edit.sources) as entries:
            maps = self._float_maps(edit.original, entries[0])
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
            maps = self._float_maps(edit.original, entries[0])
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
            self._working = None
            maps = self._in_float32([entry.maps[i] for i, (_, entry) in enumerate(sources)])
            with self.stage("main path"):
                return self._resumed(maps, [image.number for image, _ in sources])

    def stats(self) -> dict[str, int]:
        """Of the cache, of the plan, and of what the last images left."""
        working = sum(buffer.numel() * buffer.element_size() for buffer in self._buffers)
        working += self._cache.spare_bytes + self._resumed.bytes + self._preview.bytes
        return {**super().stats(), "working_bytes": working, "reused_layers": self._resumed.reused}

    def _build(self, image: Image, spare: Entry | None) -> Entry:
        entry = spare or self._new_entry()
        self.plan.write(image.w, entry.codes, entry.maps)
        if self._dtype == torch.float16:
            _check_range([*entry.codes, *entry.maps])
        return entry

    def _new_entry(self) -> Entry:
        shapes: list[tuple[int, ...]] = [(h * w, c) for c, h, w in self.plan.config.stylecode_shapes]
        shapes += self._map_shapes
        sizes = [math.prod(shape) for shape in shapes]
        padded = [-(-size // _ALIGNED) * _ALIGNED for size in sizes]
        # One piece of memory on huge pages: mapping it in 4 KiB pages would take longer than filling it.
        values = empty_on_huge_pages(sum(padded), dtype=self._dtype)
        pieces = zip(values.split(padded), sizes, shapes)
        parts = [piece[:size].view(shape) for piece, size, shape in pieces]
        return Entry(parts[: len(self._sides)], parts[len(self._sides) :])

    def _edits(
        self, references: Sequence[EditReference], entries: Sequence[Entry], maps: Sequence[Tensor]
    ) -> dict[int, CodeEdit]:
        """By stylecode, where a mask is on; ``entries``: of the original and the references."""
        layouts = Layouts(references, self.stage)
        edits: dict[int, CodeEdit] = {}
        for index, side in enumerate(self._sides):
            if any(mask.any for mask in layouts.masks(side)):
                codes = [entry.codes[index] for entry in entries]
                sources = [maps[index], *(entry.maps[index] for entry in entries[1:])]
                edits[index] = CodeEdit(self._ring[index], layouts, codes, sources)
        return edits

    def _float_maps(self, image: Image, entry: Entry) -> list[Tensor]:
        """The maps of an original, which edits change in place: the cache's, or a copy in float32 that is
        good for the next edit of the same image, too.
        """
        if self._dtype == torch.float32:
            return entry.maps
        if self._working != image.number:
            self._working = None
            self._in_float32(entry.maps)
            self._working = image.number
        return self._buffers

    def _in_float32(self, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same maps where they are in float32, else copies in memory that the next ones will take."""
        if self._dtype == torch.float32:
            return maps
        if not self._buffers:
            self._buffers = [empty_on_huge_pages(*each.shape, dtype=torch.float32) for each in maps]
        for buffer, stored in zip(self._buffers, maps):
            buffer.copy_(stored)
        return self._buffers

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


def _check_range(parts: Sequence[Tensor]) -> None:
    """Raises ValueError for values that float16 could not hold."""
    # The extremes are NaN where any value is; looking at every value takes twenty times longer.
    if not all(bool(extreme.isfinite()) for part in parts for extreme in part.aminmax()):
        raise ValueError("this model's maps leave the range of fp16: use cache_precision 'bf16' or 'fp32'")
