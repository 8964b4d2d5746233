"""Weights for inference: everything constant multiplied in, in float64.

The scales of equalised learning rates, the √2 of activations and the 1/√2 of residual sums are positive,
and a leaky ReLU lets positive factors through: each goes into the weight and bias before it, and where
both follow one layer they cancel. γ and β of a layer are one convolution. The running statistics of
BatchNorm2d go into γ and β; the norm of the learned constant is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stylemap.model import StyleMapGAN
from stylemap.model.layers import ConvLayer, EqualLinear, blur_kernel
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


class Scaled(NamedTuple):
    """A convolution whose folded weight is the model's own tensors, out×in×k×k, one after the other along
    its outputs, each times a factor; the bias as in `Folded`.
    """

    parts: tuple[tuple[Tensor, float], ...]
    bias: Tensor | None


#: Uninitialised float64 memory of a shape, on the CPU.
Memory = Callable[[tuple[int, ...]], Tensor]


def new_memory(shape: tuple[int, ...]) -> Tensor:
    """A tensor of its own."""
    return torch.empty(shape, dtype=torch.float64, device="cpu")


class Weights:
    """The folded weights of a model, one layer at a time: nothing is kept, and the model is read anew at
    every call.

    memory: where the weights of convolutions are folded; by default every one is a new tensor. What gives
        the same memory for one layer after the other saves most of the time and memory that folding takes.

    Raises ValueError for a model whose blur is another than [1, 3, 3, 1].
    """

    def __init__(self, model: StyleMapGAN, memory: Memory = new_memory) -> None:
        other = foreign_filter(model)
        if other is not None:
            raise ValueError(f"inference needs the blur filter [1, 3, 3, 1]; {other} is another one")
        self.network: Network = network(model.config)
        self._model = model
        self._memory = memory

    def conv(self, layer: Conv) -> Folded:
        """Of any convolution of the network."""
        scaled = self.scaled(layer)
        if scaled is None:
            return self._maps(layer)
        counts = [len(tensor) for tensor, _ in scaled.parts]
        weight = self._memory((sum(counts), *scaled.parts[0][0].shape[1:]))
        for into, (tensor, factor) in zip(weight.split(counts), scaled.parts, strict=True):
            into.copy_(tensor).mul_(factor)
        return Folded(weight, scaled.bias)

    def scaled(self, layer: Conv) -> Scaled | None:
        """Of a convolution without a weight to compute; None for the maps of the image, and for maps with
        the running statistics of BatchNorm2d in them.
        """
        if layer.part is Part.MAPS:
            return self._scaled_maps(layer)
        module = self._module(layer.name)
        if isinstance(module, ConvLayer):
            return _scaled_layer(module, layer)
        assert isinstance(module, StyledConv)
        # The bias of the last layer is in its β.
        bias = None if layer.name == self.network.to_rgb.conv.name else _bias(module.activate)
        part = module.conv.weight[0].detach(), module.conv.scale * _gain(layer)
        return Scaled((part,), None if bias is None else bias * _gain(layer))

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

    def _scaled_maps(self, layer: Conv) -> Scaled | None:
        if layer.name == self.network.to_rgb.maps.name:
            return None
        module = self._module(layer.name.removesuffix("/modulation"))
        assert isinstance(module, StyledConv)
        gamma, beta = module.conv.gamma, module.conv.beta
        if module.conv.norm is not None:
            return None
        parts = tuple((each.weight.detach(), each.scale) for each in (gamma, beta))
        return Scaled(parts, torch.cat([_bias(gamma), _bias(beta)]))

    def _maps(self, layer: Conv) -> Folded:
        module = self._module(layer.name.removesuffix("/modulation"))
        assert isinstance(module, StyledConv)
        conv = module.conv
        channels, *rest = conv.gamma.weight.shape
        if layer.name != self.network.to_rgb.maps.name:
            weight = self._memory((2 * channels, *rest))
            gamma, beta = weight.split(channels)
            return Folded(weight, torch.cat(_gamma_beta(conv, gamma, beta)))
        wide = self._memory((channels, *rest))
        weight = self._memory((layer.outputs, *rest))
        gamma, narrow = weight[:channels], weight[channels:]
        gamma_bias, beta_bias = _gamma_beta(conv, gamma, wide)
        rgb = self.conv(self.network.to_rgb.conv).weight[:, :, 0, 0]
        narrow.copy_(torch.einsum("oc,cikl->oikl", rgb, wide))
        beta_bias = rgb @ beta_bias + _bias(module.activate) * SQRT2
        return Folded(weight, torch.cat([gamma_bias, beta_bias]))

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


def _scaled_layer(module: ConvLayer, layer: Conv) -> Scaled:
    conv = next(found for found in module if hasattr(found, "scale"))
    weight, scale = cast(Tensor, conv.weight).detach(), cast(float, conv.scale)
    if layer.slope == 1:  # a skip
        return Scaled(((weight, scale / SQRT2),), None)
    gain = _gain(layer)
    return Scaled(((weight, scale * gain),), _bias(module[-1]) * gain)


def _gain(layer: Conv) -> float:
    """What a convolution with an activation is multiplied by."""
    return 1.0 if layer.residual else SQRT2


def _gamma_beta(conv: ModulatedConv2d, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The biases of γ and of β of y = x̂·γ + β; their weights into ``gamma`` and ``beta``.

    With the running statistics of BatchNorm2d x̂ = a·x + b per channel: y = x·(aγ) + (bγ + β).
    """
    gamma.copy_(conv.gamma.weight.detach()).mul_(conv.gamma.scale)
    beta.copy_(conv.beta.weight.detach()).mul_(conv.beta.scale)
    gamma_bias, beta_bias = _bias(conv.gamma), _bias(conv.beta)
    if conv.norm is not None:
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        a = (_double(conv.norm.running_var) + EPS).rsqrt()
        b = -_double(conv.norm.running_mean) * a
        beta.add_(b[:, None, None, None] * gamma)
        beta_bias = beta_bias + b * gamma_bias
        gamma.mul_(a[:, None, None, None])
        gamma_bias = gamma_bias * a
    return gamma_bias, beta_bias


def _bias(module: nn.Module) -> Tensor:
    return _double(cast(Tensor, module.bias))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
