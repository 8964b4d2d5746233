"""The decoder, as edits run it: from the maps of one image, starting where the last image differs, or near
the masks alone; and in one run from a stylemap that is seen once.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap import program
from stylemap.engine.cpu.convolution import Moments
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.images import EditReference
from stylemap.engine.renderer import Patch
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
