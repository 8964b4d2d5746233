"""Mapping network: Gaussian z → stylemap (docs/network.md section 4)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.layers import EqualLinear


class PixelNorm(nn.Module):
    """z / √(mean(z², dim 1) + 1e-8), computed in float32 or better because 1e-8 is 0 in float16."""

    def forward(self, z: Tensor) -> Tensor:
        """N×K of the same dtype."""
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + 1e-8)).to(z.dtype)


class MappingNetwork(nn.Sequential):
    """z N×K → stylemap N×K×L×L: pixel norm and linear layers, all K→K but the last, K→K·L·L."""

    def __init__(self, config: Config) -> None:
        channels, height, width = self.stylemap_shape = config.stylemap_shape
        widths = [channels] * config.mapping_layer_num + [channels * height * width]
        linears = (
            EqualLinear(fan_in, fan_out, config.lr_mul, activate=True)
            for fan_in, fan_out in itertools.pairwise(widths)
        )
        super().__init__(PixelNorm(), *linears)

    def forward(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K."""
        for layer in self:
            z = layer(z)
        return z.view(-1, *self.stylemap_shape)
