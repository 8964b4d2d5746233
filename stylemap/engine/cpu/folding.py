"""What layers.py takes from a model's modules: scaled weights, norms and their constants, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from stylemap.config import GROUP_NORM_GROUPS
from stylemap.engine.cpu import weights
from stylemap.engine.cpu.convolution import Moments
from stylemap.model.layers import ConvLayer
from stylemap.model.modulation import ModulatedConv2d
from stylemap.ops import reference

EPS = 1e-5


def norm(conv: ModulatedConv2d) -> tuple[int | None, Moments | None]:
    channels = conv.weight.shape[2]
    if conv.normalize_mode == "BatchNorm2d":
        assert conv.norm is not None
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        rstd = (conv.norm.running_var.double() + EPS).rsqrt()
        return None, Moments(conv.norm.running_mean.float()[None].contiguous(), rstd.float()[None])
    return {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS}.get(conv.normalize_mode, channels), None


def normalised_constant(constant: Tensor, conv: ModulatedConv2d) -> Tensor:
    value, one = constant.double(), torch.ones((), dtype=torch.float64)
    mean = var = None
    if conv.norm is not None:
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        mean, var = conv.norm.running_mean.double(), conv.norm.running_var.double()
    normalised = reference.modulate(value, one, 0 * one, conv.normalize_mode, EPS, mean, var)
    return normalised.permute(0, 2, 3, 1).float().contiguous()


def identity_moments(channels: int) -> Moments:
    return Moments(torch.zeros(1, channels), torch.ones(1, channels))


def scaled_weight(layer: torch.nn.Module) -> Tensor:
    """The scaled weight of an equalised convolution, float64."""
    weight: Tensor = layer.weight.detach().double() * layer.scale  # type: ignore[operator, union-attr]
    return weight


def activation_bias(layer: ConvLayer) -> Tensor:
    """The bias of a ConvLayer's activation, float64."""
    bias: Tensor = layer[-1].bias.detach().double()  # type: ignore[operator, union-attr]
    return bias


def zero_bias(channels: int) -> Tensor:
    return weights.plain_bias(torch.zeros(channels))


def check_blur(kernel: Tensor, gain: float) -> None:
    """The blur is built into the kernels."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    if not torch.allclose(kernel.double(), gain * torch.outer(taps, taps) / 64):
        raise ValueError("the CPU plan needs the blur filter [1, 3, 3, 1]; this model has another one")
