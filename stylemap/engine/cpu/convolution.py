"""Convolutions on a CPU: packed weights and the calls of their kernels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.engine.cpu.arena import Arena, empty_on_huge_pages
from stylemap.engine.cpu.blocking import (
    BLOCK,
    CHANNELS,
    DOWN,
    MODES,
    UP,
    Blocking,
    Shape,
    blocking_of,
    in_bf16,
    keeps_half,
    keeps_taps,
    round_up,
    tile_of,
)
from stylemap.program import EPS, Conv, Folded, Memory, Mode, Scaled, new_memory

_ops = torch.ops.stylemap


@dataclass
class Moments:
    """Mean and 1 / standard deviation of every channel's group, float32, (batch or 1) × channels."""

    mean: Tensor
    rstd: Tensor

    def clone(self) -> Moments:
        """A copy in memory of its own."""
        return Moments(self.mean.clone(), self.rstd.clone())


def identity_moments(channels: int) -> Moments:
    """Those that leave features as they are."""
    return Moments(torch.zeros(1, channels), torch.ones(1, channels))


#: A tensor to fill, of a shape and ``dtype``.
Packing = Callable[..., Tensor]


class Filters:
    """The 3×3 filters of a layer, to be blocked for the kernels: float32 or float64 tensors O×I×3×3 of any
    sizes, each times a factor. Two of them are γ's and β's, and alternate by 16 channels.
    """

    def __init__(self, *parts: tuple[Tensor, float]) -> None:
        self._parts = [(_readable(tensor), factor) for tensor, factor in parts]
        self._lanes = BLOCK // len(parts)
        outputs, inputs = parts[0][0].shape[:2]
        self.blocks, self.depth = -(-outputs // self._lanes), round_up(inputs, CHANNELS)

    def largest(self) -> float:
        """The largest magnitude of a tap."""
        extremes = [(tensor.aminmax(), abs(factor)) for tensor, factor in self._parts]
        return max(max(-float(low), float(high)) * factor for (low, high), factor in extremes)

    def pack(self, mode: int, tile: int, bf16: bool, memory: Packing = empty_on_huge_pages) -> Tensor:
        """Transformed; blocks × rows × K × 32, or pairs along K."""
        pair, dtype = (2, torch.bfloat16) if bf16 else (1, torch.float32)
        rows = _ops.conv2d_weight_rows(mode, tile)
        packed = memory(self.blocks, rows, self.depth // pair, BLOCK * pair, dtype=dtype)
        for i, (tensor, factor) in enumerate(self._parts):
            _ops.conv2d_pack(tensor, mode, tile, packed, factor, i * self._lanes, self._lanes)
        return packed

    def taps(self, dtype: torch.dtype = torch.float32, memory: Packing = empty_on_huge_pages) -> Tensor:
        """As they are, in float32 or float16; blocks × K × 9 × 32."""
        taps = memory(self.blocks, self.depth, 9, BLOCK, dtype=dtype)
        for i, (tensor, factor) in enumerate(self._parts):
            _ops.conv2d_taps(tensor, taps, factor, i * self._lanes, self._lanes)
        return taps


def _readable(weight: Tensor) -> Tensor:
    """As the kernels read it: on the CPU, contiguous, float32 or float64. Narrower types widen exactly."""
    dtype = weight.dtype if weight.dtype in (torch.float32, torch.float64) else torch.float32
    return weight.detach().to("cpu", dtype).contiguous()


def padded(weight: Tensor, memory: Memory = new_memory) -> Tensor:
    """O × I × k × k with zeros up to whole blocks, contiguous."""
    outputs, inputs, *taps = weight.shape
    shape = (round_up(outputs, BLOCK), round_up(inputs, CHANNELS))
    if shape == (outputs, inputs) and weight.is_contiguous():
        return weight
    result = memory((*shape, *taps)).zero_()
    result[:outputs, :inputs] = weight
    return result


def padded_bias(bias: Tensor) -> Tensor:
    """float32, in whole blocks."""
    return F.pad(bias, (0, round_up(bias.shape[0], BLOCK) - bias.shape[0])).float()


def alternating(values: Tensor) -> Tensor:
    """C gammas, then C betas, as the kernels read them: 16 gammas, 16 betas, 16 gammas, … of a padded C."""
    parts = []
    for part in values.chunk(2):
        missing = round_up(part.shape[0], CHANNELS) - part.shape[0]
        parts.append(F.pad(part, (0, 0) * (part.ndim - 1) + (0, missing)).unflatten(0, (-1, CHANNELS)))
    return torch.stack(parts, dim=1).flatten(0, 2)


class Convolution:
    """A 3×3 convolution NHWC → NHWC with bias and leaky ReLU, or a modulation, in one call.

    Weights that would be large are kept as they are, and every thread transforms those that it multiplies by
    in a buffer of its own: less memory, and less to read.

    Args:
        source: weight and bias.
        tile, bf16: the algorithm, instead of the one that `blocking` chooses.
        modulation: the layer makes γ and β of one layer, which lie in alternating runs of 16 channels.
        memory: for the packed weight.
    """

    def __init__(
        self,
        layer: Conv,
        source: Folded | Scaled,
        precision: str,
        *,
        modulation: bool = False,
        tile: int | None = None,
        bf16: bool | None = None,
        memory: Packing = empty_on_huge_pages,
    ) -> None:
        parts = source.parts if isinstance(source, Scaled) else ((source.weight, 1.0),)
        if modulation and len(parts) == 1:
            parts = tuple((half, factor) for weight, factor in parts for half in weight.chunk(2))
        filters = Filters(*parts)
        bias = source.bias
        assert bias is not None
        if modulation:
            bias = alternating(bias)
        self.mode = MODES[layer.mode]
        self.tile = tile or tile_of(layer, len(bias), precision)
        self.bf16 = in_bf16(layer, precision) if bf16 is None else bf16
        self.slope = layer.slope
        # A modulation writes the modulated features as a rule, γ and β themselves where these are kept.
        self.outputs = layer.outputs // 2 if modulation else layer.outputs
        self.maps_channels = len(bias)
        self.packed_outputs, self.depth = filters.blocks * BLOCK, filters.depth
        self.bias = padded_bias(bias)
        half = self.bf16 and keeps_half(filters.largest())
        self.taps = keeps_taps(self.shape(1, layer.side), half)
        if self.taps:
            self.packed = filters.taps(torch.float16 if half else torch.float32, memory)
        else:
            self.packed = filters.pack(self.mode, self.tile, self.bf16, memory)
        self._blockings: dict[tuple[int, int, int], Blocking] = {}

    def shape(self, batch: int, side: int) -> Shape:
        """On a side × side grid."""
        return Shape(self.mode, self.tile, self.bf16, self.depth, self.packed_outputs, batch, side)

    def with_tile(self, tile: int) -> Convolution:
        """The same convolution in tiles of another size. Only where the weights are not transformed."""
        assert self.taps
        other = copy.copy(self)
        other.tile, other._blockings = tile, {}
        return other

    @property
    def transform(self) -> tuple[int, bool]:
        """How the kernel is to transform the weights; nothing where they are transformed."""
        return (self.tile, self.bf16) if self.taps else (0, False)

    @property
    def bytes(self) -> int:
        """Of the packed weights."""
        return self.packed.numel() * self.packed.element_size()

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Height and width of what the 3×3 taps walk on."""
        height, width = x.shape[1:3]
        return (height // 2, width // 2) if self.mode == DOWN else (height, width)

    def blocking(self, batch: int, side: int) -> Blocking:
        """How to cut the work on a side × side grid."""
        key = batch, side, torch.get_num_threads()
        if key not in self._blockings:
            self._blockings[key] = blocking_of(self.shape(batch, side), self.taps)
        return self._blockings[key]

    def workspace(self, arena: Arena, cut: Blocking, batch: int, height: int, width: int) -> Tensor | None:
        """Memory for the groups of a shared cut."""
        if not cut.shared:
            return None
        size = _ops.conv2d_workspace(self.packed, self.mode, batch, height, width, cut.tiles, *self.transform)
        return arena.take(size, dtype=torch.uint8)

    def __call__(
        self,
        arena: Arena,
        x: Tensor,
        out: Tensor | None = None,
        *,
        batch: int | None = None,
        modulation: Tensor | None = None,
        features: Tensor | None = None,
        moments: Moments | None = None,
        skip: Tensor | None = None,
        groups: int | None = None,
    ) -> tuple[Tensor, Moments | None]:
        """The result (``out``, or from the arena) and, with ``groups``, its moments over channel groups.

        ``modulation``: the input is norm(x)·γ + β, from maps N×H×W×2C of alternating runs. ``features``:
        this convolution makes γ and β, the result is norm(features)·γ + β. ``moments`` are those of x or
        of ``features``. ``skip`` is added to the result, upsampled by 2 if it is half its size.
        """
        batch = x.shape[0] if batch is None else batch
        height, width = self.grid(x)
        if out is None:
            scale = 2 if self.mode == UP else 1
            out = arena.take(batch, height * scale, width * scale, self.outputs)
        partials = None
        if groups is not None:
            rows = _ops.conv2d_partials(self.mode, self.tile, height, width)
            partials = arena.take(batch, rows, 2 * self.outputs + 1)
        cut = self.blocking(batch, height)
        workspace = self.workspace(arena, cut, batch, height, width)
        mean, rstd = (None, None) if moments is None else (moments.mean, moments.rstd)
        _ops.conv2d(
            x,
            self.packed,
            self.bias,
            self.slope,
            self.mode,
            modulation,
            features,
            mean,
            rstd,
            skip,
            out,
            partials,
            workspace,
            cut.tiles,
            None,
            *self.transform,
        )
        arena.give(workspace)
        if partials is None or groups is None:
            return out, None
        result = Moments(arena.take(batch, self.outputs), arena.take(batch, self.outputs))
        _ops.conv2d_moments(partials, groups, EPS, result.mean, result.rstd)
        arena.give(partials)
        return out, result


class Pointwise:
    """A 1×1 convolution NHWC → NHWC with bias and leaky ReLU, or of the input blurred and halved."""

    def __init__(self, layer: Conv, folded: Folded, precision: str, *, memory: Memory = new_memory) -> None:
        weight = padded(folded.weight, memory)[:, :, 0, 0].contiguous()
        self.packed = _ops.pointwise_pack(weight, in_bf16(layer, precision))
        bias = torch.zeros(layer.outputs, dtype=torch.float64) if folded.bias is None else folded.bias
        self.bias = padded_bias(bias)
        self.outputs = layer.outputs
        self.blur = layer.mode is Mode.DOWN
        self.slope = layer.slope

    @property
    def bytes(self) -> int:
        """Of the packed weights."""
        return self.packed.numel() * self.packed.element_size()

    def __call__(self, arena: Arena, x: Tensor) -> Tensor:
        """The result, from the arena."""
        by = 2 if self.blur else 1
        out = arena.take(x.shape[0], x.shape[1] // by, x.shape[2] // by, self.outputs)
        _ops.pointwise(x, self.packed, self.bias, self.slope, self.blur, out)
        return out
