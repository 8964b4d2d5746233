"""From a model to the weights of the GPU plan: every scale, gain and composition folded, channels_last.

The same exact steps as in `layers`, for the passes of `stylemap.ops.passes`: a leaky ReLU commutes with
the √2 after it, which goes into weights and biases and cancels where a residual sum is divided by √2; γ and
β of a layer are one weight; β of the last layer has been through its 1 × 1 convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.model import StyleMapGAN
from stylemap.model.layers import Blur, ConvLayer
from stylemap.model.modulation import ModulatedConv2d, StyledConv
from stylemap.ops import reference

EPS = 1e-5
SQRT2 = math.sqrt(2.0)

#: The kernels read and write this many channels at once; an input has zeros in those it lacks.
PACK = 8
#: What `passes.modulated_rgb` keeps in registers: channels, by the size of an element.
_MOST_RGB_CHANNELS = {2: 512, 4: 256}

Statistics = tuple[Tensor, Tensor]  # mean and 1 / sqrt(var + eps)


@dataclass(frozen=True, eq=False)
class Conv:
    """weight: out × in × k × k; ``up``: transposed with stride 2 and blurred."""

    weight: Tensor
    bias: Tensor | None = None
    up: bool = False


@dataclass(frozen=True, eq=False)
class EncoderBlock:
    conv1: Conv
    conv2: Conv
    skip: Conv


@dataclass(frozen=True, eq=False)
class Styled:
    """maps: C γ, then C β; fixed: the running statistics of its norm, where it has any."""

    maps: Conv
    conv: Conv
    fixed: Statistics | None


@dataclass(frozen=True, eq=False)
class ToRgb:
    """maps: C γ, then 3 β that have been through ``weight`` (3 × C), then zeros."""

    maps: Conv
    weight: Tensor
    bias: Tensor
    fixed: Statistics | None


@dataclass(frozen=True, eq=False)
class Layers:
    from_rgb: Conv
    blocks: list[EncoderBlock]
    final: Conv
    codes: list[Conv]
    constant: Tensor  # 1 × C × L × L, normalised
    styled: list[Styled]
    skips: list[Conv]  # of styled[2], styled[4], …
    to_rgb: ToRgb

    def tensors(self) -> list[Tensor]:
        """Every weight, for accounting."""
        found: list[Tensor] = []
        _collect(self, found)
        return found


def why_not(model: StyleMapGAN, dtype: torch.dtype) -> str | None:
    """Why the CUDA kernels cannot run this model, or None if they can."""
    config = model.config
    widths = {config.latent_channel_size, *(config.channels(r) for r in config.resolutions)}
    odd = sorted(width for width in widths if width % PACK)
    if odd:
        return f"its kernels take channels in multiples of {PACK}, and this model has {odd[0]}"
    most, last = _MOST_RGB_CHANNELS.get(dtype.itemsize, 0), config.channels(config.size)
    if last > most:
        return f"its last pass takes up to {most} channels of {dtype}, and this model has {last}"
    for name, buffer in model.named_buffers():
        values = buffer.cpu().double()
        if name.endswith(".kernel") and not torch.equal(values / values.sum(), blur(1.0).double()):
            return f"its kernels blur with [1, 3, 3, 1], and this model has another filter in {name}"
    return None


def blur(gain: float) -> Tensor:
    """The 4 × 4 filter, of sum ``gain``."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device="cpu")
    return torch.outer(taps, taps) * (gain / 64)


class Folder:
    """Folds in float64 and puts the results on ``device`` in ``dtype``."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype

    def layers(self, model: StyleMapGAN) -> Layers:
        encoder: Any = model.encoder
        decoder: Any = model.generator.decoder
        styled = [self._styled(decoder.conv1, SQRT2)]
        for block in decoder.convs:
            styled += [self._styled(block.conv1, SQRT2), self._styled(block.conv2, 1.0)]
        return Layers(
            from_rgb=self._layer(encoder.from_rgb, SQRT2),
            blocks=[
                EncoderBlock(
                    self._layer(block.conv1, SQRT2),
                    self._layer(block.conv2, 1.0),
                    self._conv(scaled_weight(block.skip[1]) / SQRT2),
                )
                for block in encoder.convs
            ],
            final=self._layer(encoder.final_conv, SQRT2),
            codes=[self._layer(layer, SQRT2) for layer in decoder.convs_latent],
            constant=self._constant(decoder.input.input, decoder.conv1.conv),
            styled=styled,
            skips=[self._conv(scaled_weight(block.skip[0]) / SQRT2) for block in decoder.convs],
            to_rgb=self._to_rgb(decoder.to_rgb),
        )

    def place(self, values: Tensor) -> Tensor:
        values = values.detach().to(self.device, self.dtype)
        return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values

    def _conv(self, weight: Tensor, bias: Tensor | None = None, up: bool = False) -> Conv:
        missing = round_up(weight.shape[1], PACK) - weight.shape[1]
        weight = F.pad(weight, (0, 0, 0, 0, 0, missing)) if weight.shape[1] < PACK else weight
        return Conv(self.place(weight), None if bias is None else self.place(bias), up)

    def _layer(self, layer: Any, gain: float) -> Conv:
        """A ConvLayer with its activation, times gain / √2."""
        convolution = next(module for module in layer if hasattr(module, "scale"))
        up = any(isinstance(module, Blur) for module in layer) and not hasattr(convolution, "stride")
        return self._conv(scaled_weight(convolution) * gain, activation_bias(layer) * gain, up)

    def _styled(self, layer: StyledConv, gain: float) -> Styled:
        conv = layer.conv
        weight = conv.weight[0].double() * conv.scale * gain
        gamma, beta = scaled_weight(conv.gamma), scaled_weight(conv.beta)
        return Styled(
            maps=self._conv(torch.cat([gamma, beta]), torch.cat([_bias(conv.gamma), _bias(conv.beta)])),
            conv=self._conv(weight, layer.activate.bias.double() * gain, conv.blur is not None),
            fixed=self._fixed(conv),
        )

    def _to_rgb(self, layer: StyledConv) -> ToRgb:
        conv = layer.conv
        rgb = conv.weight[0, :, :, 0, 0].double() * conv.scale * SQRT2
        beta = torch.einsum("oc,cikl->oikl", rgb, scaled_weight(conv.beta))
        beta_bias = rgb @ _bias(conv.beta) + layer.activate.bias.double() * SQRT2
        colors = rgb.shape[0]
        weight = torch.cat([scaled_weight(conv.gamma), F.pad(beta, (0, 0) * 3 + (0, PACK - colors))])
        bias = torch.cat([_bias(conv.gamma), F.pad(beta_bias, (0, PACK - colors))])
        return ToRgb(
            self._conv(weight, bias),
            self.place(rgb),
            self.place(torch.zeros_like(rgb[:, 0])),
            self._fixed(conv),
        )

    def _constant(self, constant: Tensor, conv: ModulatedConv2d) -> Tensor:
        value, one = constant.double(), torch.ones((), dtype=torch.float64, device=constant.device)
        mean = var = None
        if conv.norm is not None:
            mean, var = _running(conv)
        return self.place(reference.modulate(value, one, 0 * one, conv.normalize_mode, EPS, mean, var))

    def _fixed(self, conv: ModulatedConv2d) -> Statistics | None:
        if conv.norm is None:
            return None
        mean, var = _running(conv)
        wide = torch.promote_types(self.dtype, torch.float32)
        return mean.to(self.device, wide), (var + EPS).rsqrt().to(self.device, wide)


def _running(conv: ModulatedConv2d) -> Statistics:
    """Running mean and variance of a BatchNorm2d, float64."""
    assert conv.norm is not None
    assert conv.norm.running_mean is not None
    assert conv.norm.running_var is not None
    return conv.norm.running_mean.double(), conv.norm.running_var.double()


def scaled_weight(layer: torch.nn.Module) -> Tensor:
    """The scaled weight of an equalised convolution, float64."""
    weight: Tensor = layer.weight.detach().double() * layer.scale  # type: ignore[operator, union-attr]
    return weight


def activation_bias(layer: ConvLayer) -> Tensor:
    """The bias of a ConvLayer's activation, float64."""
    bias: Tensor = layer[-1].bias.detach().double()  # type: ignore[operator, union-attr]
    return bias


def round_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def _bias(layer: torch.nn.Module) -> Tensor:
    bias: Tensor = layer.bias.detach().double()  # type: ignore[operator, union-attr]
    return bias


def _collect(value: object, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, found)
    elif hasattr(value, "__dataclass_fields__"):
        _collect([getattr(value, name) for name in value.__dataclass_fields__], found)
