"""Images from the maps of one original, edited or not: everything between the cache and the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylemap.engine.gpu.graphs import Graphs, Program
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.rows import EditRows, Fill, Level, RowSpace, part_sizes
from stylemap.engine.images import EditReference, Entry
from stylemap.ops import passes
from stylemap.program.ring import overlap


@dataclass
class _Known:
    """What the last references led to: most edits have the same ones with another weight."""

    references: list[EditReference]
    overlap: bool
    rows: dict[float, EditRows] = field(default_factory=dict)


class Frames:
    """Renders the maps that are loaded, which lie where graphs know them; not for several threads.

    An edit's program puts pasted and convolved rows into them, runs the main path and puts the old rows
    back. All inside the plan's lane.
    """

    def __init__(self, plan: GpuPlan, codes: RowSpace, maps: RowSpace) -> None:
        self.graphs = Graphs(plan.lane, plan.recorder)
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
        return self.graphs.program("image", lambda: [self._plan.from_maps(images)], list)()[0].clone()

    def edit(self, references: Sequence[EditReference], entries: Sequence[Entry], weight: float) -> Tensor:
        """1×3×S×S; ``entries``: of the original, which is loaded, and of the references.

        Where no masks overlap, every weight's maps are a lerp of the original's and the full edit's.
        """
        # Masks are on the CPU: what has to be copied is known without waiting for the device.
        known = self._recall(references)
        blended = weight != 1 and not known.overlap
        full = 1.0 if blended else weight
        if full not in known.rows:
            known.rows = {full: EditRows(self._codes, self._maps, references, full)}
        rows = known.rows[full]
        program = self._program(rows.level, blended)
        self._fill(program, rows, entries)
        program.inputs[1].fill_(weight)
        try:
            return program()[0].clone()
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

    def _fill(self, program: Program, rows: EditRows, entries: Sequence[Entry]) -> None:
        """Everything the program reads, in one transfer to the device and a copy per image and width."""
        indices, _, *stages = program.inputs
        numbers = torch.from_numpy(rows.packed)
        if indices.is_cuda:
            numbers = numbers.pin_memory().to(indices.device, non_blocking=True)
        indices.copy_(numbers[: rows.graph_indices])
        tensors = [[*entry.maps, *entry.codes] for entry in entries]
        for fill in rows.fills:
            _fill(stages[fill.stage][fill.start : fill.stop], fill, tensors, numbers)

    def _program(self, level: Level, blended: bool) -> Program:
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
            image = self._plan.from_maps(self._maps.images(maps))
            for tensor, rows, old in zip(maps, changed, before):
                tensor.index_copy_(0, rows, old)
            return [image]

        return self.graphs.program(("edit", level, blended), frame, inputs)

    def _convolve(self, codes: list[Tensor], maps: list[Tensor], rings: Sequence[Tensor]) -> None:
        """The maps of the ring, by side, from the codes around it; other codes may be anything."""
        cells = dict(zip(self._sides, rings, strict=True))
        indices = range(len(self._maps.sides))
        convs = [self._plan.map_convolution(index) for index in indices]
        passes.conv_rows_group_(
            [self._maps.image(maps, index) for index in indices],
            [self._codes.image(codes, index) for index in indices],
            [conv.weight for conv in convs],
            [conv.bias for conv in convs],
            [cells[side] for side in self._maps.sides],
        )


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
