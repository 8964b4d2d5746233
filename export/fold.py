"""Weights with everything constant multiplied in, in float64.

The equalised-learning-rate scales, the √2 of the activation and the 1/√2 of the residual sums are all
positive, and leaky ReLU lets positive factors through: gain · leaky(x) = leaky(gain · x). So each goes
into the weight and bias before the activation, and where both follow one layer they cancel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stylemap.model.layers import BiasLeakyReLU, ConvLayer, EqualConv2d, EqualConvTranspose2d, EqualLinear
from stylemap.model.modulation import ModulatedConv2d, StyledConv

ACTIVATION = math.sqrt(2)
RESIDUAL = math.sqrt(0.5)
EPS = 1e-5


class Folded(NamedTuple):
    """weight out×in×k×k (out×in of a linear layer), bias out; float64. Transposed convs are out×in too."""

    weight: Tensor
    bias: Tensor


def conv_layer(layer: ConvLayer, gain: float = 1.0) -> Folded:
    """The convolution of a ConvLayer with activation: leaky(conv(x, weight) + bias) is ``gain`` times its
    output. In an up layer the blur comes between convolution and bias, which changes nothing here."""
    conv, act = _only(layer, EqualConv2d, EqualConvTranspose2d), _only(layer, BiasLeakyReLU)
    total = gain * ACTIVATION
    return Folded(_double(conv.weight) * (conv.scale * total), _double(act.bias) * total)


def skip(layer: ConvLayer) -> Tensor:
    """The 1×1 convolution of a residual block's skip, out×in×1×1, divided by √2."""
    conv: EqualConv2d = _only(layer, EqualConv2d)
    return _double(conv.weight) * (conv.scale * RESIDUAL)


def linear(layer: EqualLinear) -> Folded:
    """A layer of the mapping network with its activation."""
    return Folded(
        _double(layer.weight) * (layer.scale * ACTIVATION), _double(layer.bias) * (layer.lr_mul * ACTIVATION)
    )


def styled_conv(layer: StyledConv, gain: float = 1.0) -> Folded:
    """The convolution after the modulation, with the bias and activation of the StyledConv."""
    total = gain * ACTIVATION
    weight = _double(layer.conv.weight)[0] * (layer.conv.scale * total)
    return Folded(weight, _double(layer.activate.bias) * total)


def modulation(layer: ModulatedConv2d) -> Folded:
    """One 3×3 convolution for γ and β, 2C outputs: y = x̂·γ + β.

    With the running statistics of BatchNorm2d x̂ = a·x + b per channel, and a, b go in as well:
    y = x·(aγ) + (bγ + β).
    """
    gamma, beta = _equal_conv(layer.gamma), _equal_conv(layer.beta)
    if layer.norm is not None:
        assert layer.norm.running_mean is not None
        assert layer.norm.running_var is not None
        a = torch.rsqrt(_double(layer.norm.running_var) + EPS)
        b = -_double(layer.norm.running_mean) * a
        beta = Folded(beta.weight + b[:, None, None, None] * gamma.weight, beta.bias + b * gamma.bias)
        gamma = Folded(gamma.weight * a[:, None, None, None], gamma.bias * a)
    return Folded(torch.cat([gamma.weight, beta.weight]), torch.cat([gamma.bias, beta.bias]))


def to_rgb(layer: StyledConv) -> tuple[Folded, Tensor]:
    """(modulation of C+3 outputs, 1×1 weight 3×C): image = leaky(conv(x̂·γ) + β′).

    A 1×1 convolution commutes with adding β: conv(x̂·γ + β) = conv(x̂·γ) + conv(β), and conv after β's
    3×3 convolution is one 3×3 convolution with 3 outputs. The bias joins β′.
    """
    both, out = modulation(layer.conv), styled_conv(layer)
    channels = out.weight.shape[1]
    mix = out.weight[:, :, 0, 0]
    gamma, beta = both.weight.split(channels)
    gamma_bias, beta_bias = both.bias.split(channels)
    composed = Folded(torch.einsum("oc,cikl->oikl", mix, beta), mix @ beta_bias + out.bias)
    merged = Folded(torch.cat([gamma, composed.weight]), torch.cat([gamma_bias, composed.bias]))
    return merged, out.weight


def _equal_conv(conv: EqualConv2d) -> Folded:
    assert conv.bias is not None
    return Folded(_double(conv.weight) * conv.scale, _double(conv.bias))


def _only(layer: nn.Sequential, *kinds: type[nn.Module]) -> Any:
    (found,) = (module for module in layer if isinstance(module, kinds))
    return found


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
