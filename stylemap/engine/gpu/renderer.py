"""Edits on a GPU: cached stylecodes and maps, paste and ring, one captured graph per size of edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylemap import program
from stylemap.engine.gpu.capture import CapturedGraph, CapturedGraphs
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.rows import EditRows, Fill, Level, RowSpace, part_sizes
from stylemap.engine.images import Edit, EditReference, Entry, Image
from stylemap.engine.renderer import CachingRenderer
from stylemap.program.ring import overlap


class GpuRenderer(CachingRenderer[Entry]):
    """What `EditSession` runs on a GPU. One thread at a time.

    As on a CPU, stylecodes and maps of images are cached, and an edit copies and convolves few of them. A
    preview is the exact image: an approximation would gain little.

    graphs: those captured for edits and for images as they are; key of the latter "image".
    """

    plan: GpuPlan

    def __init__(self, plan: GpuPlan, cache_bytes: int, cache_dtype: torch.dtype) -> None:
        shapes = plan.config.stylecode_shapes
        sides = [height for _, height, _ in shapes]
        self._codes = RowSpace([channels for channels, _, _ in shapes], sides)
        self._maps = RowSpace([plan.op.maps_channels(i) for i in range(len(sides))], sides)
        entry_bytes = (self._codes.elements + self._maps.elements) * cache_dtype.itemsize
        super().__init__(plan, entry_bytes, entry_bytes, cache_bytes)
        self._dtype = cache_dtype
        self._frames = _Frames(plan, self._codes, self._maps)
        self.graphs = self._frames.graphs

    def cleared(self) -> None:
        """Forget all images."""
        super().cleared()
        with self.plan.lane():
            self._frames.clear()

    def frames(self, edit: Edit, weights: Sequence[float]) -> Tensor:
        """`edit.blend`, T×3×S×S."""
        sides = set(self._maps.sides)
        edited = any(reference.cells[side].any for reference in edit.references for side in sides)
        with torch.no_grad(), self.plan.lane(), self._cache.hold(edit.sources) as entries:
            frames, references = self._frames, edit.references
            frames.load([(edit.original.number, entries[0])] * len(self._maps.sides))
            result = torch.cat(
                [frames.edit(references, entries, w) if edited and w else frames.image() for w in weights]
            )
        return self.plan.lane.given(result)

    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """The maps of ``a``, but those of the chosen stylecodes of ``b``; 1×3×S×S."""
        with torch.no_grad(), self.plan.lane(), self._cache.hold([a, b]) as (first, second):
            count = len(self._maps.sides)
            self._frames.load(
                [(b.number, second) if i in chosen else (a.number, first) for i in range(count)]
            )
            result = self._frames.image()
        return self.plan.lane.given(result)

    def stats(self) -> dict[str, int]:
        """Of the cache, of the plan, and of the loaded maps and the captured graphs of edits."""
        found = super().stats()
        found["activation_bytes"] += self.graphs.bytes
        graphs = self.graphs.captured + self.plan.graphs.captured
        return {**found, "working_bytes": self._frames.bytes, "captured_graphs": graphs}

    def _build(self, image: Image) -> Entry:
        plan = self.plan
        with torch.no_grad(), plan.lane():
            entry = Entry(*(space.new(self._dtype, plan.device) for space in (self._codes, self._maps)))
            plan.write(image.w, self._codes.images(entry.codes), self._maps.images(entry.maps))
            if torch.float16 in (self._dtype, plan.dtype):
                _check_finite(entry.maps)
        return entry


@dataclass
class _Known:
    """What the last references led to: most edits have the same ones with another weight."""

    references: list[EditReference]
    overlap: bool
    rows: dict[tuple[float, ...], EditRows] = field(default_factory=dict)


class _Frames:
    """Renders the maps that are loaded, which lie where captured graphs know them; not for several threads.

    An edit's graph puts pasted and convolved rows into them, runs the main path and puts the old rows
    back. All inside the plan's lane.
    """

    def __init__(self, plan: GpuPlan, codes: RowSpace, maps: RowSpace) -> None:
        self.graphs = CapturedGraphs(plan.lane, plan.capture)
        self._plan = plan
        self._codes = codes
        self._maps = maps
        self._sides = sorted(set(maps.sides))
        self._memory: tuple[list[Tensor], list[Tensor]] | None = None
        self._loaded: list[int | None] = [None] * len(maps.sides)
        self._known = _Known([], False)

    @property
    def bytes(self) -> int:
        """Of the loaded maps, and the codes that edits write."""
        tensors = () if self._memory is None else (*self._memory[0], *self._memory[1])
        return sum(t.numel() * t.element_size() for t in tensors)

    def clear(self) -> None:
        """Give up graphs and memory."""
        self.graphs.clear()
        self._memory = None
        self._loaded = [None] * len(self._loaded)
        self._known = _Known([], False)

    def load(self, sources: Sequence[tuple[int, Entry]]) -> None:
        """Make the maps of every stylecode those of an image, which is known by a number."""
        _, maps = self._tensors()
        for index, (number, entry) in enumerate(sources):
            if self._loaded[index] != number:
                self._loaded[index] = None
                self._maps.of(maps, index).copy_(self._maps.of(entry.maps, index))
                self._loaded[index] = number

    def image(self) -> Tensor:
        """Of the loaded maps, 1×3×S×S."""
        images = self._maps.images(self._tensors()[1])
        return self.graphs.graph("image", lambda: [self._rendered(images)], list)()[0].clone()

    def edit(self, references: Sequence[EditReference], entries: Sequence[Entry], weight: float) -> Tensor:
        """1×3×S×S; ``entries``: of the original, which is loaded, and of the references.

        Where no masks overlap and all references have one weight, every weight's maps are a lerp of the
        original's and the full edit's.
        """
        # Masks are on the CPU: what has to be copied is known without waiting for the device.
        known = self._recall(references)
        weights = tuple(weight * reference.weight for reference in references)
        blended = set(weights) != {1.0} and len(set(weights)) == 1 and not known.overlap
        full = (1.0,) * len(weights) if blended else weights
        if full not in known.rows:
            known.rows = {full: EditRows(self._codes, self._maps, references, full)}
        rows = known.rows[full]
        graph = self._graph(rows.level, blended)
        self._fill(graph, rows, entries)
        graph.inputs[1].fill_(weights[0])
        try:
            return graph()[0].clone()
        except BaseException:
            self._loaded = [None] * len(self._loaded)
            raise

    def _tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """Codes and maps; a spare row at the end of each takes what the padding of lists writes."""
        if self._memory is None:
            dtype, device = self._plan.dtype, self._plan.device
            self._memory = self._codes.new(dtype, device, spare=1), self._maps.new(dtype, device, spare=1)
        return self._memory

    def _recall(self, references: Sequence[EditReference]) -> _Known:
        before = self._known.references
        if len(before) != len(references) or any(a is not b for a, b in zip(before, references)):
            found = any(overlap([part.cells[side] for part in references]) for side in self._sides)
            self._known = _Known(list(references), found)
        return self._known

    def _fill(self, graph: CapturedGraph, rows: EditRows, entries: Sequence[Entry]) -> None:
        """Everything the graph reads, in one transfer to the device and a copy per image and width."""
        indices, _, *stages = graph.inputs
        numbers = torch.from_numpy(rows.packed)
        if indices.is_cuda:
            numbers = numbers.pin_memory().to(indices.device, non_blocking=True)
        indices.copy_(numbers[: rows.graph_indices])
        tensors = [[*entry.maps, *entry.codes] for entry in entries]
        for fill in rows.fills:
            _fill(stages[fill.stage][fill.start : fill.stop], fill, tensors, numbers)

    def _graph(self, level: Level, blended: bool) -> CapturedGraph:
        sizes = part_sizes(self._codes, self._maps, level)
        codes, maps = self._tensors()

        def inputs() -> list[Tensor]:
            device, dtype = self._plan.device, self._plan.dtype
            widths = [*self._maps.widths, *self._codes.widths]
            stages = [torch.zeros(n, width, dtype=dtype, device=device) for n, width in zip(sizes, widths)]
            indices = torch.zeros(sum(sizes), dtype=torch.int64, device=device)
            return [indices, torch.ones((), dtype=self._plan.like.dtype, device=device), *stages]

        def frame(indices: Tensor, weight: Tensor, *stages: Tensor) -> list[Tensor]:
            lists = list(indices.split(sizes))
            targets, changed = lists[: len(stages)], lists[len(stages) : -len(self._sides)]
            rings = indices[-sum(sizes[-len(self._sides) :]) :].to(torch.int32)
            before = [tensor.index_select(0, rows) for tensor, rows in zip(maps, changed)]
            for tensor, rows, values in zip((*maps, *codes), targets, stages, strict=True):
                tensor.index_copy_(0, rows, values)
            self._convolve(codes, maps, rings.split(sizes[-len(self._sides) :]))
            if blended:
                for tensor, rows, old in zip(maps, changed, before):
                    wide = weight.dtype
                    new = torch.lerp(old.to(wide), tensor.index_select(0, rows).to(wide), weight)
                    tensor.index_copy_(0, rows, new.to(tensor.dtype))
            image = self._rendered(self._maps.images(maps))
            for tensor, rows, old in zip(maps, changed, before):
                tensor.index_copy_(0, rows, old)
            return [image]

        return self.graphs.graph(("edit", level, blended), frame, inputs)

    def _convolve(self, codes: list[Tensor], maps: list[Tensor], rings: Sequence[Tensor]) -> None:
        """The maps of the ring, by side, from the codes around it; other codes may be anything."""
        cells = dict(zip(self._sides, rings, strict=True))
        listed = [cells[side] for side in self._maps.sides]
        self._plan.op.map_cells_(self._maps.images(maps), self._codes.images(codes), listed)

    def _rendered(self, maps: Sequence[Tensor]) -> Tensor:
        return program.synthesize_from_maps(self._plan.op, self._plan.network, maps)


def _fill(target: Tensor, fill: Fill, tensors: list[list[Tensor]], numbers: Tensor) -> None:
    """The blend of rows of images; sums in float32 or wider."""
    total: Tensor | None = None
    for (image, part), at in zip(fill.parts, fill.at, strict=True):
        source, chosen = tensors[image][fill.stage], numbers[at : at + len(target)]
        if len(fill.parts) == 1 and part == 1 and source.dtype == target.dtype:
            torch.index_select(source, 0, chosen, out=target)
            return
        rows = source.index_select(0, chosen).to(torch.promote_types(source.dtype, torch.float32))
        total = part * rows if total is None else total.add_(rows, alpha=part)
    assert total is not None
    target.copy_(total)


def _check_finite(maps: Sequence[Tensor]) -> None:
    """The one wait for the device: when an image is added.

    Raises:
        ValueError: values that float16 cannot hold.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in maps):
        raise ValueError(
            "this model's maps leave the range of fp16: use precision 'bf16' with cache_precision 'bf16', "
            "or precision 'fp32'"
        )
