"""The decoder from maps, starting where the last image differs.

The features before a layer follow from the maps before it. Where those are the last image's, so are
these: the layers are not run again and the result has the same bits.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.convolution import Moments
from stylemap.engine.cpu.plan import CpuPlan

# Features are kept up to this side: together 11 MB at 512 channels. Every further resolution doubles that,
# and a stroke too small to change the maps of 64 × 64 is hardly seen.
_KEPT_SIDE = 64


class MainPath:
    """Runs ``plan``'s decoder on the maps of one image at a time, and keeps its first features.

    Not for several threads at once.
    """

    def __init__(self, plan: CpuPlan) -> None:
        self._plan = plan
        self._keys: list[Hashable] = []
        self._kept: dict[int, tuple[Tensor, Moments]] = {}
        self.reused = 0

    @property
    def bytes(self) -> int:
        """Of the features kept."""
        return sum(x.numel() * x.element_size() for x, _ in self._kept.values())

    def forget(self) -> None:
        self._keys.clear()
        self._kept.clear()

    def start(self, keys: Sequence[Hashable]) -> int:
        """The first layer that has to run; maps before it are not read. See `__call__` for keys."""
        pairs = enumerate(zip(keys, self._keys))
        same = next((i for i, (new, old) in pairs if new != old), len(self._keys))
        return max((layer for layer in self._kept if layer <= same), default=0)

    @torch.no_grad()
    def __call__(self, maps: Sequence[Tensor], keys: Sequence[Hashable]) -> Tensor:
        """Image 1×3×S×S from the maps of every stylecode, each 1×r×r×M.

        Maps with equal keys must have equal bits. `CpuPlan.synthesize_from_modulations` of the same maps
        gives the same bits.
        """
        start = self.start(keys)
        self._keys = self._keys[:start]
        self._kept = {layer: kept for layer, kept in self._kept.items() if layer <= start}
        self.reused += start
        with self._plan._arenas.lease() as arena:
            image = self._run(arena, maps, start)
        self._keys = list(keys)
        return image

    def _run(self, arena: Arena, maps: Sequence[Tensor], start: int) -> Tensor:
        """Kept features are those before an odd layer, where nothing but x is alive."""
        layers = self._plan._decoder
        x, moments = self._kept[start] if start else (layers.constant, layers.constant_moments)
        skip_source: Tensor | None = None
        for i in range(start, len(layers.styled)):
            layer = layers.styled[i]
            following = layers.styled[i + 1] if i + 1 < len(layers.styled) else layers.to_rgb
            skip = None
            if i % 2 == 0 and skip_source is not None:
                skip = layers.skips[i // 2 - 1](arena, skip_source)
                arena.give(skip_source)
            keep = i % 2 == 0 and i + 1 < len(layers.styled) and maps[i].shape[1] <= _KEPT_SIDE
            out = torch.empty(layer.conv.output_shape(x, 1)) if keep else None
            y, new = layer.conv(
                arena,
                x,
                out,
                batch=1,
                modulation=maps[i],
                moments=moments,
                skip=skip,
                groups=following.groups,
            )
            arena.give(skip)
            if i % 2 == 1:
                skip_source = x
            else:
                arena.give(x)
            x = y
            result = new or following.fixed
            assert result is not None
            moments = result
            if keep:
                moments = Moments(moments.mean.clone(), moments.rstd.clone())
                self._kept[i + 1] = x, moments
        return self._plan._to_rgb(arena, x, moments, None, maps[-1])
