"""The network on plain PyTorch tensors, in any dtype: what every other lowering is compared with."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.edit.masks import pool_average, shift_in_cells
from stylemap.model.layers import blur_kernel
from stylemap.ops import reference
from stylemap.program import ring
from stylemap.program.fold import Folded, Weights
from stylemap.program.lowering import Box, Features, Overlay
from stylemap.program.network import EPS, SLOPE, Conv, Linear, Mode, Styled, ToRgb


class Statistics(NamedTuple):
    """Mean and 1 / √(var + 1e-5), one for each channel: N×C×1×1 or 1×C×1×1, float32 or wider."""

    mean: Tensor
    rstd: Tensor


class PlainLowering:
    """`lowering.Overlaying` and `lowering.Mapping` on tensors N×C×H×W of one dtype on the CPU.

    Every result is rounded to the dtype; statistics are float32 or wider. Maps are γ, then β, N×2C×r×r.
    Every convolution goes through `convolution`, every blur through `blur`: override them to see or change
    what they do.
    """

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.float32) -> None:
        self.network = weights.network
        self.dtype = dtype
        self._weights = weights
        self._folded: dict[str, Folded] = {}
        self._constant = weights.constant().to(dtype)

    def conv(self, x: Tensor, layer: Conv) -> Tensor:
        """N×C×H×W; transposed convolution and blur where the layer doubles the side."""
        return self._activated(self._linear(x, layer), layer)

    def down_conv(self, x: Tensor, layer: Conv, skip: Tensor) -> Tensor:
        """Blur, convolution of stride 2, leaky ReLU, sum."""
        return self._activated(self._linear(x, layer), layer) + skip

    def down_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """Blur of every second sample, then the 1×1 convolution."""
        return self.convolution(self.blur(x, (1, 1, 1, 1), down=2), layer.name, self._of(layer))

    def up_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """The 1×1 convolution, at the low resolution."""
        return self._linear(x, layer)

    def maps(self, code: Tensor, layer: Conv) -> Tensor:
        """γ, then β, N×2C×r×r (N×(C+3)×S×S of the last code)."""
        return self._linear(code, layer)

    def constant(self, style: Tensor) -> Features[Tensor, Statistics]:
        """1×C×L×L expanded to the batch; its statistics are those that change nothing."""
        return Features(self._constant.expand(len(style), -1, -1, -1), _identity(self._constant))

    def styled(
        self, x: Features[Tensor, Statistics], code: Tensor, layer: Styled, skip: Tensor | None
    ) -> Features[Tensor, Statistics]:
        """`styled_from_maps` of the maps that the code makes."""
        return self.styled_from_maps(x, self.maps(code, layer.maps), layer, skip, None)

    def styled_from_maps(
        self,
        x: Features[Tensor, Statistics],
        maps: Tensor,
        layer: Styled,
        skip: Tensor | None,
        statistics: Statistics | None,
    ) -> Features[Tensor, Statistics]:
        """(x·γ + β) of normalised features, the convolution, and the upsampled skip."""
        gamma, beta = maps.chunk(2, 1)
        y = self.conv(self.normal(x) * gamma + beta, layer.conv)
        if skip is not None:
            y = y + self.blur(skip, (2, 1, 2, 1), 4, up=2)
        return Features(y, self.statistics(y, layer.norm) if statistics is None else statistics)

    def to_rgb(self, x: Features[Tensor, Statistics], maps: Tensor, layer: ToRgb) -> Tensor:
        """N×3×S×S, nominally in [-1, 1]."""
        gamma, beta = maps.split([layer.conv.inputs, layer.conv.outputs], dim=1)
        mixed = self.convolution(self.normal(x) * gamma, layer.conv.name, self._of(layer.conv))
        return F.leaky_relu(mixed + beta, SLOPE)

    def crop(self, x: Tensor, box: Box) -> Tensor:
        """A view: nothing here writes to it."""
        rows, columns = box.at(x.shape[2])
        return x[:, :, rows, columns]

    def free(self, *values: Tensor | None) -> None:
        """Python looks after tensors."""

    def blend(self, code: Tensor, laid: Tensor, overlay: Overlay[Tensor], side: int, name: str) -> Tensor:
        """`stylemap.edit.blend` on codes: one image and one reference after the other."""
        samples = []
        for n, sample in enumerate(code.split(1)):
            for k in range(laid.shape[1]):
                dx, dy = overlay.shifts[n, k].tolist()
                on = pool_average(overlay.masks[n, k][None, None], side)
                shift = shift_in_cells((dx, dy), overlay.size // side)
                sample = reference.blend(sample, laid[n, k][None], on, shift, overlay.weights[n : n + 1])
            samples.append(sample)
        return torch.cat(samples)

    def ring(self, code: Tensor, maps: Tensor, laid: Tensor, overlay: Overlay[Tensor], layer: Conv) -> Tensor:
        """Both, pasted and convolved, chosen between by `ring.layout` of single cells."""
        near = torch.zeros(len(code), layer.side**2, dtype=torch.bool)
        for row, masks, shifts in zip(near, overlay.masks, overlay.shifts, strict=True):
            parts = [
                ring.cell_masks(mask[None, None], (dx, dy), [layer.side])[layer.side]
                for mask, (dx, dy) in zip(masks, shifts.tolist(), strict=True)
            ]
            row[torch.from_numpy(ring.layout(parts).tiles)] = True
        pasted = self.blend(maps, laid, overlay, layer.side, layer.name)
        return torch.where(near.view(-1, 1, layer.side, layer.side), self.maps(code, layer), pasted)

    def add_constant(self, x: Tensor, value: Tensor, name: str) -> Tensor:
        """The value is rounded to the dtype of x first."""
        return x + value.to(x.dtype)

    def pixel_norm(self, z: Tensor) -> Tensor:
        """In float32 or wider."""
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + 1e-8)).to(z.dtype)

    def linear(self, x: Tensor, layer: Linear) -> Tensor:
        """F.linear and leaky ReLU; weights are folded at every call."""
        weight, bias = self._weights.linear(layer)
        assert bias is not None
        return F.leaky_relu(F.linear(x, weight.to(x.dtype), bias.to(x.dtype)), SLOPE)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A view."""
        return x.reshape(-1, *shape)

    def convolution(
        self,
        x: Tensor,
        name: str,
        folded: Folded,
        *,
        stride: int = 1,
        padding: int = 0,
        transposed: bool = False,
    ) -> Tensor:
        """The convolution of the layer called ``name``, with its bias unless it is transposed."""
        if transposed:
            return F.conv_transpose2d(x, folded.weight.transpose(0, 1), stride=2)
        return F.conv2d(x, folded.weight, folded.bias, stride, padding)

    def blur(
        self, x: Tensor, padding: tuple[int, int, int, int], gain: float = 1.0, up: int = 1, down: int = 1
    ) -> Tensor:
        """The filter [1, 3, 3, 1]²·gain/64, with zeros put in or samples left out (`reference.upfirdn2d`)."""
        return reference.upfirdn2d(x, blur_kernel(gain).to(x.dtype), up, down, padding)

    def statistics(self, y: Tensor, norm: str | None) -> Statistics:
        """Those that the norm takes of y."""
        if norm is None:
            return _identity(y)
        n, channels = y.shape[:2]
        mean, var = reference.moments(y.to(torch.promote_types(y.dtype, torch.float32)), norm)
        spread = (value.expand(n, -1, channels // mean.shape[1], 1, 1) for value in (mean, var))
        mean, var = (value.reshape(n, channels, 1, 1) for value in spread)
        return Statistics(mean, torch.rsqrt(var + EPS))

    def normal(self, x: Features[Tensor, Statistics]) -> Tensor:
        """Normalised features."""
        wide = x.x.to(x.statistics.mean.dtype)
        return ((wide - x.statistics.mean) * x.statistics.rstd).to(x.x.dtype)

    def _linear(self, x: Tensor, layer: Conv) -> Tensor:
        """Blur, convolution and bias of a layer."""
        folded = self._of(layer)
        if layer.mode is Mode.DOWN:
            return self.convolution(self.blur(x, (2, 2, 2, 2)), layer.name, folded, stride=2)
        if layer.mode is Mode.PLAIN:
            return self.convolution(x, layer.name, folded, padding=layer.size // 2)
        assert folded.bias is not None
        x = self.convolution(x, layer.name, folded, transposed=True)
        x = self.blur(x, (1, 1, 1, 1), 4)
        return x + folded.bias.view(1, -1, 1, 1)

    def _activated(self, x: Tensor, layer: Conv) -> Tensor:
        return x if layer.slope == 1 else F.leaky_relu(x, layer.slope)

    def _of(self, layer: Conv) -> Folded:
        if layer.name not in self._folded:
            weight, bias = self._weights.conv(layer)
            self._folded[layer.name] = Folded(
                weight.to(self.dtype), None if bias is None else bias.to(self.dtype)
            )
        return self._folded[layer.name]


def _identity(x: Tensor) -> Statistics:
    """Those that leave x as it is."""
    zero = torch.zeros(1, x.shape[1], 1, 1, dtype=torch.promote_types(x.dtype, torch.float32))
    return Statistics(zero, zero + 1)
