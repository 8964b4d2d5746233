"""Edits on a CPU: `CpuPlan`, cached stylecodes and maps, paste and ring.

The decoder, as edits run it: from the maps of one image, starting where the last image differs, or near the
masks alone; and in one run from a stylemap that is seen once.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap import program
from stylemap.engine.cpu.convolution import Convolution, Moments
from stylemap.engine.cpu.edits import Layouts, Making, MapsEdit, Original
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.stored import Maker, Stored
from stylemap.engine.images import Edit, EditReference, Image
from stylemap.engine.renderer import CachingRenderer, Patch
from stylemap.program import Box, Features, Start, Window

# Features are kept up to this side: together 11 MB at 512 channels. Every further resolution doubles that,
# and a stroke too small to change the maps of 64 × 64 is hardly seen.
_KEPT_SIDE = 64

# In cells of 8 pixels: how far around the masks a preview shows changes, and how much further it computes,
# because missing neighbours are felt that far: at 64, 128 and 256, by 8 + 4, 4 + 2 and 2 + 1 pixels.
_SHOWN = 2
_FELT = 3
_CELL = 8

# Of the frame: from here on there is little to gain.
_MOST = 0.6


class Resumed:
    """Runs ``plan``'s decoder on the maps of one image at a time, and keeps its first features.

    The features before a layer follow from the maps before it. Where those are the last image's, so are
    these: the layers are not run again and the result has the same bits. Not for several threads at once.
    """

    def __init__(self, plan: CpuPlan) -> None:
        self._plan = plan
        self._keys: list[Hashable] = []
        self._kept: dict[int, Features[Tensor, Moments]] = {}
        styled = plan.network.styled
        # Those before an odd layer, where nothing else is alive.
        self._keep = {
            layer.index: before.conv
            for before, layer in itertools.pairwise(styled)
            if layer.index % 2 == 1 and before.conv.side <= _KEPT_SIDE
        }
        self.reused = 0

    @property
    def bytes(self) -> int:
        """Of the features kept."""
        return sum(each.x.numel() * each.x.element_size() for each in self._kept.values())

    def forget(self) -> None:
        """Keep nothing of the last image."""
        self._keys.clear()
        self._kept.clear()

    def start(self, keys: Sequence[Hashable]) -> int:
        """The first layer that has to run; maps before it are not read. See `__call__` for keys."""
        pairs = enumerate(zip(keys, self._keys))
        same = next((i for i, (new, old) in pairs if new != old), len(self._keys))
        return max((layer for layer in self._kept if layer <= same), default=0)

    def __call__(self, maps: Sequence[Tensor], keys: Sequence[Hashable]) -> Tensor:
        """Image 1×3×S×S from the maps of every stylecode, each 1×r×r×M.

        Maps with equal keys must have equal bits.
        """
        first = self.start(keys)
        self._keys = self._keys[:first]
        self._kept = {layer: kept for layer, kept in self._kept.items() if layer <= first}
        self.reused += first
        start = Start(first, self._kept[first]) if first else None
        memory = {
            conv.name: torch.empty(1, conv.side, conv.side, conv.outputs)
            for layer, conv in self._keep.items()
            if layer > first
        }
        with self._plan.run(memory) as op:
            image = program.synthesize_from_maps(op, self._plan.network, maps, start=start, watch=self._watch)
        self._keys = list(keys)
        return image

    def _watch(self, layer: int, x: Features[Tensor, Moments]) -> None:
        if layer in self._keep:
            self._kept[layer] = Features(x.x, x.statistics.clone())


@dataclass(frozen=True, eq=False)
class Exact:
    """What previews take from the original's exact image: itself, 1×3×S×S, and the moments before every
    layer after the first fine one.
    """

    number: int
    image: Tensor
    moments: list[Moments]


class Preview:
    """Approximations, for the moment while a brush is moving. Not for several threads at once.

    The coarse layers run as always. The fine ones, where the work is, run on the box around the masks alone,
    with the statistics of the original's features; the rest of the picture is the original's. What is left
    out are the small changes far from the masks, and those of the norms of the fine layers.
    """

    def __init__(self, plan: CpuPlan) -> None:
        self._plan = plan
        config = plan.config
        self.side = max(config.size // _CELL, config.latent_spatial_size)
        # The first fine layer doubles this side.
        self._first = 2 * config.resolutions.index(self.side) + 1
        self._exact: Exact | None = None

    def forget(self, number: int | None = None) -> None:
        """What was prepared; or only if it was this image."""
        if self._exact is not None and number in (None, self._exact.number):
            self._exact = None

    @property
    def bytes(self) -> int:
        """Of the exact image."""
        exact = self._exact
        return 0 if exact is None else exact.image.numel() * exact.image.element_size()

    def box(self, references: Sequence[EditReference]) -> Box | None:
        """What a preview shows of an edit; None where nothing is on."""
        edges: list[tuple[int, int, int, int]] = []
        for mask in (cells for part in references for cells in part.cells.values()):
            side = mask.on.shape[0]
            if mask.any and side >= self.side:
                cell = side // self.side
                lines, columns = (mask.on.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
                edges.append(
                    (lines[0] // cell, lines[-1] // cell + 1, columns[0] // cell, columns[-1] // cell + 1)
                )
        if not edges:
            return None
        top, bottom, left, right = zip(*edges)
        return Box(self.side, min(top), max(bottom), min(left), max(right)).grown(_SHOWN)

    def pays(self, box: Box) -> bool:
        """Whether a preview of this box is faster than the exact image."""
        return box.grown(_FELT).share <= _MOST

    def knows(self, number: int) -> bool:
        """Whether this original is the last one that was prepared."""
        return self._exact is not None and self._exact.number == number

    def prepare(self, number: int, maps: Sequence[Tensor]) -> None:
        """Render the original, which is known by a number, from its maps."""
        moments: list[Moments] = []

        def watch(layer: int, x: Features[Tensor, Moments]) -> None:
            if layer > self._first:
                moments.append(x.statistics.clone())

        with self._plan.run() as op:
            image = program.synthesize_from_maps(op, self._plan.network, maps, watch=watch)
        self._exact = Exact(number, image, moments)

    def __call__(self, maps: Sequence[Tensor], box: Box) -> Tensor:
        """Image 1×3×S×S of edited maps: the prepared one's outside the box."""
        assert self._exact is not None
        outer, image = box.grown(_FELT), self._exact.image.clone()
        window = Window(self._first, outer, self._exact.moments)
        with self._plan.run() as op:
            part = program.synthesize_from_maps(op, self._plan.network, maps, window=window)
        rows, columns = box.at(image.shape[2])
        scale = image.shape[2] // self.side
        top, left = (box.top - outer.top) * scale, (box.left - outer.left) * scale
        shown = image[:, :, rows, columns]
        shown.copy_(part[:, :, top : top + shown.shape[2], left : left + shown.shape[3]])
        return image


class Passing:
    """`renderer.Aside` on a plan. Nothing of a run's size is allocated once it has run before."""

    def __init__(self, plan: CpuPlan) -> None:
        self._plan = plan

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap 1×K×L×L of an image 1×3×S×S in [-1, 1]."""
        return self._plan.encode(images)

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap."""
        return self._plan.stylecodes(w)

    @torch.no_grad()
    def decode(self, w: Tensor, patches: Sequence[Sequence[Patch]]) -> Tensor:
        """The image 1×3×S×S of a stylemap 1×K×L×L, with patches of every stylecode, one over the other."""
        with self._plan.run() as op:
            codes = program.stylecodes(op, self._plan.network, w.permute(0, 2, 3, 1).contiguous())

            def edited() -> Iterator[Tensor]:
                before, code = None, next(codes)
                for those in patches:
                    following = next(codes, code)  # made from this code before it is changed
                    for patch in those:
                        patch.apply(code)
                    op.free(before)
                    yield code
                    before, code = code, following

            return program.synthesize(op, self._plan.network, edited())


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
