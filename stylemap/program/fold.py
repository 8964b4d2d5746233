"""Weights for inference: everything constant multiplied in, in float64.

The scales of equalised learning rates, the √2 of activations and the 1/√2 of residual sums are positive,
and a leaky ReLU lets positive factors through: each goes into the weight and bias before it, and where
both follow one layer they cancel. γ and β of a layer are one convolution. The running statistics of
BatchNorm2d go into γ and β; the norm of the learned constant is a constant.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stylemap.model import StyleMapGAN
from stylemap.model.layers import ConvLayer, EqualConv2d, EqualLinear, blur_kernel
from stylemap.model.modulation import ModulatedConv2d, StyledConv
from stylemap.ops import reference
from stylemap.program.network import EPS, Conv, Linear, Network, Part, network

SQRT2 = math.sqrt(2.0)


class Folded(NamedTuple):
    """weight: out×in×k×k (out×in of a `Linear`), also where the convolution is transposed; bias: out, or
    None. float64 on the CPU.
    """

    weight: Tensor
    bias: Tensor | None


class Weights:
    """The folded weights of a model, one layer at a time: nothing is kept, and the model is read anew at
    every call.

    Raises ValueError for a model whose blur is another than [1, 3, 3, 1].
    """

    def __init__(self, model: StyleMapGAN) -> None:
        other = foreign_filter(model)
        if other is not None:
            raise ValueError(f"inference needs the blur filter [1, 3, 3, 1]; {other} is another one")
        self.network: Network = network(model.config)
        self._model = model

    def conv(self, layer: Conv) -> Folded:
        """Of any convolution of the network."""
        if layer.part is Part.MAPS:
            return self._maps(layer)
        module = self._module(layer.name)
        if isinstance(module, ConvLayer):
            return _conv_layer(module, layer)
        assert isinstance(module, StyledConv)
        weight = _double(module.conv.weight[0]) * module.conv.scale * _gain(layer)
        # The bias of the last layer is in its β.
        bias = None if layer.name == self.network.to_rgb.conv.name else _bias(module.activate)
        return Folded(weight, None if bias is None else bias * _gain(layer))

    def linear(self, layer: Linear) -> Folded:
        """Of a layer of the mapping network."""
        module = self._model.generator.mapping_z[layer.index]
        assert isinstance(module, EqualLinear)
        weight = _double(module.weight) * (module.scale * SQRT2)
        return Folded(weight, _double(module.bias) * (module.lr_mul * SQRT2))

    def constant(self) -> Tensor:
        """What the decoder starts from, normalised, 1×C×L×L."""
        decoder = self._model.generator.decoder
        value, one = _double(decoder.input.input), torch.ones((), dtype=torch.float64, device="cpu")
        if self.network.norm is None:
            return value
        return reference.modulate(value, one, 0 * one, self.network.norm, EPS)

    def _maps(self, layer: Conv) -> Folded:
        module = self._module(layer.name.removesuffix("/modulation"))
        assert isinstance(module, StyledConv)
        gamma, gamma_bias, beta, beta_bias = _gamma_beta(module.conv)
        if layer.name == self.network.to_rgb.maps.name:
            rgb = self.conv(self.network.to_rgb.conv).weight[:, :, 0, 0]
            beta = torch.einsum("oc,cikl->oikl", rgb, beta)
            beta_bias = rgb @ beta_bias + _bias(module.activate) * SQRT2
        return Folded(torch.cat([gamma, beta]), torch.cat([gamma_bias, beta_bias]))

    def _module(self, name: str) -> nn.Module:
        root: nn.Module = self._model if name.startswith("encoder/") else self._model.generator
        return root.get_submodule(name.replace("/", "."))


def foreign_filter(model: StyleMapGAN) -> str | None:
    """The name of a blur that is not [1, 3, 3, 1], or None: kernels have that one built in."""
    with torch.device("cpu"):
        ours = blur_kernel().double()
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] == "kernel":
            values = buffer.detach().to("cpu", torch.float64)
            if not torch.allclose(values / values.sum(), ours):
                return name
    return None


def _gain(layer: Conv) -> float:
    """What a convolution with an activation is multiplied by."""
    return 1.0 if layer.residual else SQRT2


def _conv_layer(module: ConvLayer, layer: Conv) -> Folded:
    conv = next(found for found in module if hasattr(found, "scale"))
    weight = _double(cast(Tensor, conv.weight)) * cast(float, conv.scale)
    if layer.slope == 1:  # a skip
        return Folded(weight / SQRT2, None)
    return Folded(weight * _gain(layer), _bias(module[-1]) * _gain(layer))


def _gamma_beta(conv: ModulatedConv2d) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weight and bias of γ, then of β, of y = x̂·γ + β.

    With the running statistics of BatchNorm2d x̂ = a·x + b per channel: y = x·(aγ) + (bγ + β).
    """
    gamma, gamma_bias = _equalised(conv.gamma)
    beta, beta_bias = _equalised(conv.beta)
    if conv.norm is not None:
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        a = (_double(conv.norm.running_var) + EPS).rsqrt()
        b = -_double(conv.norm.running_mean) * a
        beta, beta_bias = beta + b[:, None, None, None] * gamma, beta_bias + b * gamma_bias
        gamma, gamma_bias = gamma * a[:, None, None, None], gamma_bias * a
    return gamma, gamma_bias, beta, beta_bias


def _equalised(conv: EqualConv2d) -> tuple[Tensor, Tensor]:
    return _double(conv.weight) * conv.scale, _bias(conv)


def _bias(module: nn.Module) -> Tensor:
    return _double(cast(Tensor, module.bias))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
