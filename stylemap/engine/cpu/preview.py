"""Previews of edits on a CPU: approximations, for the moment while a brush is moving.

The coarse layers run as always. The fine ones, where the work is, run on the box around the masks alone,
with the statistics of the original's features; the rest of the picture is the original's. What is left out
are the small changes far from the masks, and those of the norms of the fine layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.convolution import Moments
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.edits import EditReference

# In cells of 8 pixels: how far around the masks a preview shows changes, and how much further it computes,
# because missing neighbours are felt that far: at 64, 128 and 256, by 8 + 4, 4 + 2 and 2 + 1 pixels.
_SHOWN = 2
_FELT = 3
_CELL = 8

# Of the frame: from here on there is little to gain.
_MOST = 0.6


@dataclass(frozen=True)
class Box:
    """Rows top … bottom − 1, columns left … right − 1 of a frame of side × side cells."""

    side: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def share(self) -> float:
        return (self.bottom - self.top) * (self.right - self.left) / self.side**2

    def grown(self, by: int) -> Box:
        return Box(
            self.side,
            max(self.top - by, 0),
            min(self.bottom + by, self.side),
            max(self.left - by, 0),
            min(self.right + by, self.side),
        )

    def of(self, x: Tensor, dims: tuple[int, int] = (1, 2)) -> Tensor:
        """The part of x, whose rows and columns are a multiple of this frame's; a view."""
        scale = x.shape[dims[0]] // self.side
        x = x.narrow(dims[0], self.top * scale, (self.bottom - self.top) * scale)
        return x.narrow(dims[1], self.left * scale, (self.right - self.left) * scale)


@dataclass(frozen=True, eq=False)
class Exact:
    """What previews take from the original's exact image: itself, 1×3×S×S, and the moments before every
    layer from the first fine one on.
    """

    number: int
    image: Tensor
    moments: list[Moments]


class Preview:
    """Runs ``plan``'s decoder on a part of the picture. Not for several threads at once."""

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
        return box.grown(_FELT).share <= _MOST

    @torch.no_grad()
    def prepare(self, number: int, maps: Sequence[Tensor]) -> None:
        """Render the original, which is known by a number, from its maps, unless it was the last one."""
        if self._exact is not None and self._exact.number == number:
            return
        with self._plan._arenas.lease() as arena:
            x, before = self._coarse(arena, maps)
            x, moments = self._run(arena, x, before, maps, range(self._first, len(maps) - 1))
            image = self._plan._to_rgb(arena, x, moments[-1], None, maps[-1])
            kept = [Moments(each.mean.clone(), each.rstd.clone()) for each in moments]
        self._exact = Exact(number, image, kept)

    @torch.no_grad()
    def __call__(self, maps: Sequence[Tensor], box: Box) -> Tensor:
        """Image 1×3×S×S of edited maps: the prepared one's outside the box."""
        assert self._exact is not None
        outer, image, given = box.grown(_FELT), self._exact.image.clone(), self._exact.moments
        with self._plan._arenas.lease() as arena:
            x, before = self._coarse(arena, maps)
            cut = [outer.of(each).contiguous() for each in maps[self._first :]]
            part = outer.of(x).contiguous()
            arena.give(x)
            span = range(self._first, len(maps) - 1)
            part, _ = self._run(arena, part, before, [x] * self._first + cut, span, given)
            part = self._plan._to_rgb(arena, part, given[-1], None, cut[-1])
        scale = image.shape[2] // self.side
        top, left = (box.top - outer.top) * scale, (box.left - outer.left) * scale
        shown = box.of(image, (2, 3))
        shown.copy_(part[:, :, top : top + shown.shape[2], left : left + shown.shape[3]])
        return image

    def _coarse(self, arena: Arena, maps: Sequence[Tensor]) -> tuple[Tensor, Moments]:
        """Features before the first fine layer and their moments."""
        layers = self._plan._decoder
        x, moments = self._run(arena, layers.constant, layers.constant_moments, maps, range(self._first))
        return x, moments[-1]

    def _run(
        self,
        arena: Arena,
        x: Tensor,
        moments: Moments,
        maps: Sequence[Tensor],
        span: range,
        given: Sequence[Moments] | None = None,
    ) -> tuple[Tensor, list[Moments]]:
        """The layers of ``span``: features, and the moments before every one of them and after the last.

        ``given``: such moments, for use in place of the features' own.
        """
        layers = self._plan._decoder
        used, skip_source = [moments], x
        for i in span:
            layer = layers.styled[i]
            following = layers.styled[i + 1] if i + 1 < len(layers.styled) else layers.to_rgb
            skip = None
            if i and i % 2 == 0:
                skip = layers.skips[i // 2 - 1](arena, skip_source)
                arena.give(skip_source)
            y, new = layer.conv(
                arena,
                x,
                batch=1,
                modulation=maps[i],
                moments=used[-1],
                skip=skip,
                groups=None if given is not None else following.groups,
            )
            arena.give(skip)
            if i % 2 == 1:
                skip_source = x
            else:
                arena.give(x)
            result = new or following.fixed if given is None else given[i + 1 - span.start]
            assert result is not None
            used.append(result)
            x = y
        return x, used
