"""Weights of a CPU plan as the kernels read them: scaled, padded, put in order and cut into blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.engine.cpu.arena import empty_on_huge_pages
from stylemap.engine.cpu.blocking import BLOCK, CHANNELS, round_up
from stylemap.program import Memory, new_memory

_ops = torch.ops.stylemap

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
