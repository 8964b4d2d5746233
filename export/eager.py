"""The folded networks on tensors: what an exported graph computes, in any dtype."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.edit.masks import pool_average, shift_in_cells
from stylemap.export.fold import EPS, Folded
from stylemap.export.network import Layers, modulate
from stylemap.model.layers import blur_kernel
from stylemap.ops import reference


class Eager:
    """`stylemap.export.network.Operators` on tensors of one dtype on the CPU."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def constant(self, value: Tensor, name: str) -> Tensor:
        return value.to(self.dtype)

    def linear(self, x: Tensor, folded: Folded, name: str) -> Tensor:
        return F.linear(x, folded.weight.to(x.dtype), folded.bias.to(x.dtype))

    def pixel_norm(self, x: Tensor, name: str) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + 1e-8)).to(x.dtype)

    def reshape(self, x: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        return x.reshape(-1, *shape)

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, name: str) -> Tensor:
        bias = None if bias is None else bias.to(x.dtype)
        return F.conv2d(x, weight.to(x.dtype), bias, padding=weight.shape[-1] // 2)

    def down_conv(self, x: Tensor, folded: Folded, name: str) -> Tensor:
        x = reference.upfirdn2d(x, blur_kernel().to(x.dtype), padding=(2, 2, 2, 2))
        return self.strided(x, folded, name)

    def strided(self, x: Tensor, folded: Folded, name: str) -> Tensor:
        """The convolution of `down_conv`, after its blur."""
        return F.conv2d(x, folded.weight.to(x.dtype), folded.bias.to(x.dtype), stride=2)

    def up_conv(self, x: Tensor, folded: Folded, name: str) -> Tensor:
        x = self.transposed(x, folded, name)
        x = reference.upfirdn2d(x, blur_kernel(4).to(x.dtype), padding=(1, 1, 1, 1))
        return x + folded.bias.to(x.dtype).view(1, -1, 1, 1)

    def transposed(self, x: Tensor, folded: Folded, name: str) -> Tensor:
        """The convolution of `up_conv`, before its blur."""
        return F.conv_transpose2d(x, folded.weight.to(x.dtype).transpose(0, 1), stride=2)

    def downsample(self, x: Tensor, name: str) -> Tensor:
        return reference.upfirdn2d(x, blur_kernel().to(x.dtype), down=2, padding=(1, 1, 1, 1))

    def upsample(self, x: Tensor, name: str) -> Tensor:
        return reference.upfirdn2d(x, blur_kernel(4).to(x.dtype), up=2, padding=(2, 1, 2, 1))

    def leaky(self, x: Tensor, name: str) -> Tensor:
        return F.leaky_relu(x, 0.2)

    def add(self, a: Tensor, b: Tensor, name: str) -> Tensor:
        return a + b

    def multiply(self, a: Tensor, b: Tensor, name: str) -> Tensor:
        return a * b

    def split(self, x: Tensor, sizes: Sequence[int], name: str) -> list[Tensor]:
        return list(x.split(list(sizes), dim=1))

    def normalize(self, x: Tensor, mode: str, name: str) -> Tensor:
        grouped = reference.group_view(x.to(torch.promote_types(x.dtype, torch.float32)), mode)
        mean, var = reference.moments(x.to(grouped.dtype), mode)
        return ((grouped - mean) * torch.rsqrt(var + EPS)).reshape(x.shape).to(x.dtype)

    def modulate(self, x: Tensor, code: Tensor, both: Folded, mode: str | None, name: str) -> Tensor:
        return modulate(self, x, code, both, mode, name)

    def ring(
        self,
        code: Tensor,
        maps: Tensor,
        laid: Tensor,
        layers: Layers[Tensor],
        both: Folded,
        side: int,
        name: str,
    ) -> Tensor:
        pasted = self.blend(maps, laid, layers, side, name)
        near = torch.zeros(len(code), 1, side, side, dtype=torch.bool)
        nothing = torch.zeros(1, 1, side, side)
        for n, k in itertools.product(range(len(laid)), range(laid.shape[1])):
            on, shift = self._laid(layers, n, k, side)
            # Where this reference comes to lie: each cell with its neighbours, zeros beyond the frame.
            covered = reference.blend(nothing, torch.ones_like(nothing), on, shift)
            around = F.unfold(covered, 3, padding=1)
            near[n] |= (around.amax(1) != around.amin(1)).view(1, side, side)
        return torch.where(near, self.conv(code, both.weight, both.bias, name), pasted)

    def blend(self, code: Tensor, laid: Tensor, layers: Layers[Tensor], side: int, name: str) -> Tensor:
        samples = []
        for n, sample in enumerate(code.split(1)):
            for k in range(laid.shape[1]):
                on, shift = self._laid(layers, n, k, side)
                sample = reference.blend(sample, laid[n, k][None], on, shift, layers.weights[n : n + 1])
            samples.append(sample)
        return torch.cat(samples)

    @staticmethod
    def _laid(layers: Layers[Tensor], n: int, k: int, side: int) -> tuple[Tensor, tuple[int, int]]:
        """Coverage of the cells by the mask of reference k of image n, and its shift in cells."""
        dx, dy = layers.shifts[n, k].tolist()
        on = pool_average(layers.masks[n, k][None, None], side)
        return on, shift_in_cells((dx, dy), layers.size // side)
