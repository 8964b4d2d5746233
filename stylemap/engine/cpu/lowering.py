"""The verbs of the network on a CPU: one fused kernel each, over the memory of an arena."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from stylemap.config import GROUP_NORM_GROUPS
from stylemap.engine.cpu.arena import Arena, Pages
from stylemap.engine.cpu.cells import convolve_tiles
from stylemap.engine.cpu.convolution import Convolution, Moments, Pointwise, identity_moments
from stylemap.model import StyleMapGAN
from stylemap.program import SLOPE, Box, Conv, Features, Folded, Mode, Part, Scaled, Styled, ToRgb, Weights

_ops = torch.ops.stylemap

# F(2 × 2): a ring is two cells wide, so small tiles waste least, and few tiles take longer to read weights
# than to multiply by them, of which this algorithm has fewest. Core milliseconds for the ring of a 64 × 64
# brush with F(2), F(4), F(6): 512 channels at 64²: 4.5, 6.1, 9.5; 256 at 128²: 2.8, 2.7, 4.3; 128 at 256²:
# 1.3, 1.9, 2.5.
_RING_TILE = 2

# Rows of a stylecode that are made at once where not all are, and of those around them: whole tiles of every
# side, which is 2, 4 or 6.
_BAND, _AROUND = 240, 12


class Folding:
    """The folded weights of a model. Those that the kernels' packing does not fold itself have the memory of
    the layer before: memory that is new each time stays with the process in pieces.
    """

    def __init__(self, model: StyleMapGAN) -> None:
        arena = Arena()

        def memory(shape: tuple[int, ...]) -> Tensor:
            return arena.take(*shape, dtype=torch.float64)

        # Not a method: `Weights` would keep this object, and its memory, in a cycle.
        self.memory = memory
        self._arena = arena
        self.weights = Weights(model, memory)

    @contextlib.contextmanager
    def filters(self, layer: Conv) -> Iterator[Folded | Scaled]:
        """Weight and bias of a layer of 3×3 filters, until the end of the block."""
        scaled = self.weights.scaled(layer)
        if scaled is not None:
            yield scaled
            return
        with self.layer(layer) as folded:
            yield folded

    @contextlib.contextmanager
    def layer(self, layer: Conv) -> Iterator[Folded]:
        """Weight and bias of a layer, until the end of the block."""
        try:
            yield self.weights.conv(layer)
        finally:
            self._arena.give_all()


class Kernels:
    """The weights of a model, packed for the kernels, by the names of layers."""

    def __init__(self, model: StyleMapGAN, precision: str) -> None:
        folding = Folding(model)
        self.network = folding.weights.network
        self.precision = precision
        self._pages = Pages()
        self.convolutions: dict[str, Convolution] = {}
        self.pointwise: dict[str, Pointwise] = {}
        self.constant = folding.weights.constant().permute(0, 2, 3, 1).float().contiguous()
        with folding.layer(self.network.to_rgb.conv) as folded:
            self.rgb = folded.weight[:, :, 0, 0].float().contiguous()
        for layer in self.network.convolutions():
            if layer.size == 3:
                self.convolutions[layer.name] = self._convolution(folding, layer)
            elif layer != self.network.to_rgb.conv:
                with folding.layer(layer) as folded:
                    self.pointwise[layer.name] = Pointwise(layer, folded, precision, memory=folding.memory)

    def ring(self, model: StyleMapGAN) -> list[Convolution]:
        """The convolutions that make the maps of every stylecode of ``model``, for few tiles; these kernels'
        own where they suit that.
        """
        folding = Folding(model)
        found = []
        for layer in self.network.maps:
            own = self.convolutions[layer.name]
            if own.taps or own.tile == _RING_TILE:
                found.append(own.with_tile(_RING_TILE) if own.taps else own)
            else:
                found.append(self._convolution(folding, layer, _RING_TILE))
        return found

    def _convolution(self, folding: Folding, layer: Conv, tile: int | None = None) -> Convolution:
        modulation = layer.part is Part.MAPS and layer != self.network.to_rgb.maps
        bf16 = None if tile is None else self.precision == "bf16"
        with folding.filters(layer) as source:
            return Convolution(
                layer,
                source,
                self.precision,
                modulation=modulation,
                tile=tile,
                bf16=bf16,
                memory=self._pages.take,
            )

    @property
    def bytes(self) -> int:
        """Of all packed weights."""
        found = sum(each.bytes for each in self.convolutions.values())
        return found + sum(each.bytes for each in self.pointwise.values())


class CpuLowering:
    """`program.Lowering` on float32 tensors N×H×W×C; maps have γ and β in alternating runs of 16 channels.

    Args:
        into: where the results of 3×3 layers go, by their names, instead of into the arena: what has to
            outlive the run.
    """

    def __init__(self, kernels: Kernels, arena: Arena, into: Mapping[str, Tensor] | None = None) -> None:
        self._kernels = kernels
        self._arena = arena
        self._into = into or {}

    def conv(self, x: Tensor, layer: Conv) -> Tensor:
        """One kernel, for 3×3 or 1×1. See `program.Lowering`, as for every verb."""
        if layer.size == 1:
            return self._pointwise(x, layer)
        return self._kernels.convolutions[layer.name](self._arena, x, self._into.get(layer.name))[0]

    def down_conv(self, x: Tensor, layer: Conv, skip: Tensor) -> Tensor:
        """One kernel: blur, convolution, sum."""
        out = self._into.get(layer.name)
        return self._kernels.convolutions[layer.name](self._arena, x, out, skip=skip)[0]

    def down_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """One kernel: blur, convolution."""
        return self._pointwise(x, layer)

    def up_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """The convolution; the kernel that adds the skip upsamples it."""
        return self._pointwise(x, layer)

    def maps(self, code: Tensor, layer: Conv) -> Tensor:
        """N×H×W×M."""
        convolution, out = self._kernels.convolutions[layer.name], self._into.get(layer.name)
        if out is None:
            out = self._arena.take(*code.shape[:3], convolution.maps_channels)
        return convolution(self._arena, code, out)[0]

    def maps_in_bands(self, before: Tensor, made: Sequence[tuple[Conv, Conv, Tensor | None]]) -> None:
        """The maps of stylecodes of one side, the first of which is made of the code ``before``, 1×h×w×C.
        With the same bits as of whole codes, but without their memory.

        made: of every code its layer, that of its maps, and where these go, 1×H×W×M; or None.
        """
        height = made[-1][1].side
        for top in range(0, height, _BAND):
            bottom = min(top + _BAND, height)
            code, start = before, 0
            for index, (layer, maps, out) in enumerate(made):
                # A code's outermost rows come out wrong, and further in is what the next one is made of.
                around = _AROUND * (len(made) - index + 1)
                first, last = max(top - around, 0), min(bottom + around, height)
                by = 2 if layer.mode is Mode.UP else 1
                convolution = self._kernels.convolutions[layer.name]
                part = code[:, first // by - start : last // by - start]
                following, _ = convolution(self._arena, part)
                if code is not before:
                    self._arena.give(code)
                code, start = following, first
                if out is not None:
                    self._maps_of_rows(code, start, maps, out, slice(top, bottom))
            self._arena.give(code)

    def _maps_of_rows(self, code: Tensor, start: int, layer: Conv, out: Tensor, rows: slice) -> None:
        """Some rows of maps, whole tiles, from a code that begins at row ``start``."""
        convolution = self._kernels.convolutions[layer.name]
        tile, (height, width) = convolution.tile, out.shape[1:3]
        first, last = max(rows.start - _AROUND, 0), min(rows.stop + _AROUND, height)
        across = -(-width // tile)
        begin, end = (rows.start - first) // tile * across, -(-(rows.stop - first) // tile) * across
        listed = torch.arange(begin, end, dtype=torch.int32)
        part = code[:, first - start : last - start]
        convolve_tiles(convolution, self._arena, part, listed, out[:, first:last])

    def constant(self, style: Tensor) -> Features[Tensor, Moments]:
        """The same memory for every image, which no kernel writes to."""
        constant = self._kernels.constant
        return Features(constant, identity_moments(constant.shape[3]))

    def styled(
        self, x: Features[Tensor, Moments], code: Tensor, layer: Styled, skip: Tensor | None
    ) -> Features[Tensor, Moments]:
        """γ and β are never written: they are used where they are made."""
        modulation = self._kernels.convolutions[layer.maps.name]
        modulated, _ = modulation(self._arena, code, features=x.x, moments=x.statistics)
        y, moments = self._convolve(modulated, layer, skip=skip)
        self._arena.give(modulated)
        return Features(y, moments or identity_moments(y.shape[3]))

    def styled_from_maps(
        self,
        x: Features[Tensor, Moments],
        maps: Tensor,
        layer: Styled,
        skip: Tensor | None,
        statistics: Moments | None,
    ) -> Features[Tensor, Moments]:
        """The norm and the maps are applied where the convolution reads its input."""
        y, moments = self._convolve(
            x.x,
            layer,
            batch=maps.shape[0],
            modulation=maps,
            moments=x.statistics,
            skip=skip,
            own_moments=statistics is None,
        )
        return Features(y, statistics or moments or identity_moments(y.shape[3]))

    def to_rgb(self, x: Features[Tensor, Moments], maps: Tensor, layer: ToRgb) -> Tensor:
        """N×3×H×W, in memory of its own."""
        image = torch.empty(maps.shape[0], layer.conv.outputs, *maps.shape[1:3])
        _ops.to_rgb(x.x, maps, x.statistics.mean, x.statistics.rstd, self._kernels.rgb, SLOPE, image)
        return image

    def crop(self, x: Tensor, box: Box) -> Tensor:
        """A copy."""
        rows, columns = box.at(x.shape[1])
        part = x[:, rows, columns]
        return self._arena.take(*part.shape).copy_(part)

    def free(self, *values: Tensor | None) -> None:
        """Back to the arena."""
        self._arena.give(*values)

    def _pointwise(self, x: Tensor, layer: Conv) -> Tensor:
        return self._kernels.pointwise[layer.name](self._arena, x)

    def _convolve(
        self,
        x: Tensor,
        layer: Styled,
        *,
        batch: int | None = None,
        modulation: Tensor | None = None,
        moments: Moments | None = None,
        skip: Tensor | None,
        own_moments: bool = True,
    ) -> tuple[Tensor, Moments | None]:
        """The convolution of a styled layer, with the moments of its result that the norm wants."""
        channels = layer.conv.outputs
        groups = {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS, "InstanceNorm2d": channels, None: None}
        return self._kernels.convolutions[layer.conv.name](
            self._arena,
            x,
            self._into.get(layer.conv.name),
            batch=batch,
            modulation=modulation,
            moments=moments,
            skip=skip,
            groups=groups[layer.norm] if own_moments else None,
        )
