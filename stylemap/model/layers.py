"""Equalised layers and the residual block of encoder and discriminator (docs/network.md section 1).

Layers that may stand in a ConvLayer are modules of their own: their position is part of the published
state-dict keys (``0.weight``, ``1.kernel``, ``2.bias``).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap import ops

Mode = Literal["plain", "down", "up"]


def blur_kernel(gain: float = 1.0) -> Tensor:
    """4×4 outer product of [1, 3, 3, 1] with itself, of sum ``gain``. Half precision holds it exactly."""
    taps = (1, 3, 3, 1)
    return torch.tensor([[gain * a * b / 64 for b in taps] for a in taps])


def normal_parameter(*shape: int, std: float = 1.0) -> nn.Parameter:
    """A parameter of this shape, drawn from N(0, std²).

    On the meta device nothing is drawn: there ``normal_`` would import PyTorch's compiler, which takes
    seconds.
    """
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=std))


class BiasLeakyReLU(nn.Module):
    """leaky_relu(x + bias, 0.2) · √2, N×C×…"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as x, N×C×…"""
        return ops.bias_act(x, self.bias)


class Blur(nn.Module):
    """The 4-tap blur, with a resampling by ``up`` or ``down`` in the same pass."""

    kernel: Tensor

    def __init__(self, padding: tuple[int, int], gain: float = 1.0, up: int = 1, down: int = 1) -> None:
        super().__init__()
        self.register_buffer("kernel", blur_kernel(gain))
        self.padding = padding
        self.up = up
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W filtered; H and W change with the resampling and the padding."""
        return ops.upfirdn2d(x, self.kernel, up=self.up, down=self.down, padding=self.padding)


class EqualConv2d(nn.Module):
    """Convolution of the stored weight (out×in×k×k, N(0, 1)) times 1/√(in·k²), with an optional bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.weight = normal_parameter(out_channels, in_channels, size, size)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """N×out×H'×W' from N×in×H×W."""
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class EqualConvTranspose2d(nn.Module):
    """Transposed convolution of stride 2, H×W → (2H+1)×(2W+1) for size 3; weight stored out×in×k×k."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.weight = normal_parameter(out_channels, in_channels, size, size)
        self.scale = 1 / math.sqrt(in_channels * size**2)

    def forward(self, x: Tensor) -> Tensor:
        """N×out×(2H+k-2)×(2W+k-2) from N×in×H×W, k the size of the kernel."""
        return F.conv_transpose2d(x, (self.weight * self.scale).transpose(0, 1), stride=2)


class EqualLinear(nn.Module):
    """x Wᵀ · lr_mul/√in + bias · lr_mul on N×in, followed by the activation or not."""

    def __init__(
        self, in_features: int, out_features: int, lr_mul: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = normal_parameter(out_features, in_features, std=1 / lr_mul)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """N×out from N×in."""
        weight, bias = self.weight * self.scale, self.bias * self.lr_mul
        if not self.activate:
            return F.linear(x, weight, bias)
        return ops.bias_act(F.linear(x, weight), bias)


class ConvLayer(nn.Sequential):
    """Convolution that keeps, halves or doubles H and W, with its activation (k = 1 or 3).

    The 1×1 skips compute fewer positions than docs/network.md section 1 writes: down, the blur keeps every
    second sample and the convolution follows; up, the convolution runs before zeros are inserted. A 1×1
    convolution commutes with both, so the results are the same.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, mode: Mode = "plain", activate: bool = True
    ) -> None:
        layers: list[nn.Module]
        if mode == "plain":
            layers = [EqualConv2d(in_channels, out_channels, size, padding=size // 2)]
        elif mode == "down" and size == 1:
            layers = [Blur((1, 1), down=2), EqualConv2d(in_channels, out_channels, 1)]
        elif mode == "down":
            layers = [Blur((2, 2)), EqualConv2d(in_channels, out_channels, size, stride=2)]
        elif size == 1:
            layers = [EqualConv2d(in_channels, out_channels, 1), Blur((2, 1), gain=4, up=2)]
        else:
            layers = [EqualConvTranspose2d(in_channels, out_channels, size), Blur((1, 1), gain=4)]
        if activate:
            layers.append(BiasLeakyReLU(out_channels))
        super().__init__(*layers)


class ResBlock(nn.Module):
    """N×in×H×W → N×out×H/2×W/2: two 3×3 convolutions beside a 1×1 skip, their sum over √2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, mode="down")
        self.skip = ConvLayer(in_channels, out_channels, 1, mode="down", activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×out×H/2×W/2 from N×in×H×W."""
        total: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return total * math.sqrt(0.5)
