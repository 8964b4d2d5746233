"""From a model to the layers of the CPU plan: every scale, gain and blur folded into packed weights.

- Equalised-learning-rate scales and the √2 of the activations go into weights and biases (a leaky ReLU
  commutes with positive factors); where a residual sum is divided by √2 the two cancel.
- γ and β of a layer are one convolution. The last layer's β goes through its 1 × 1 weights first, so
  that its convolution has C + 3 outputs instead of 2 C.
- The norm of the learned constant is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylemap.config import GROUP_NORM_GROUPS
from stylemap.engine import weights
from stylemap.engine.convolution import Convolution, Mode, Modulation, Moments, Pointwise
from stylemap.model import StyleMapGAN
from stylemap.model.layers import Blur, ConvLayer, EqualConv2d, ResBlock
from stylemap.model.modulation import ModulatedConv2d, StyledConv
from stylemap.ops import reference

SQRT2 = math.sqrt(2.0)
SLOPE = 0.2
EPS = 1e-5

#: (layer name, inputs, outputs, resolution) -> tile and whether products are bfloat16.
Choice = Callable[[str, int, int, int], tuple[int, bool]]


@dataclass
class EncoderBlock:
    """conv1, then conv2 (blur and stride 2) plus the skip (blur, stride 2 and 1 × 1)."""

    conv1: Convolution
    conv2: Convolution
    skip: Pointwise


@dataclass
class EncoderLayers:
    from_rgb: Pointwise
    blocks: list[EncoderBlock]
    final: Convolution


@dataclass
class StyledLayer:
    """One modulated convolution of the main path; its norm is over ``groups`` groups of channels, or
    ``fixed``: the running statistics of BatchNorm2d.
    """

    modulation: Modulation
    conv: Convolution
    groups: int | None
    fixed: Moments | None


@dataclass
class ToRgb:
    """The last layer: its maps are C γ and 3 β that already went through its weights (3 × C)."""

    maps: Convolution
    weight: Tensor
    groups: int | None
    fixed: Moments | None


@dataclass
class DecoderLayers:
    codes: list[Convolution]
    constant: Tensor  # 1×L×L×C, normalised
    constant_moments: Moments
    styled: list[StyledLayer]
    skips: list[Pointwise]  # of styled[2], styled[4], …
    to_rgb: ToRgb


def encoder_layers(model: StyleMapGAN, choose: Choice) -> EncoderLayers:
    encoder: Any = model.encoder
    size = model.config.size
    from_rgb, rgb_bias = _weight(encoder.from_rgb[0]) * SQRT2, _bias(encoder.from_rgb) * SQRT2
    blocks = []
    for i, block in enumerate(encoder.convs):
        blocks.append(_encoder_block(block, f"encoder.{size >> i}", size >> i, choose))
    return EncoderLayers(
        from_rgb=Pointwise(
            weights.pointwise_weight(from_rgb[:, :, 0, 0]),
            weights.plain_bias(rgb_bias),
            from_rgb.shape[0],
            slope=SLOPE,
        ),
        blocks=blocks,
        final=_conv_layer(
            encoder.final_conv, "encoder.final", model.config.latent_spatial_size, choose, SQRT2
        ),
    )


def _encoder_block(block: ResBlock, name: str, resolution: int, choose: Choice) -> EncoderBlock:
    skip = _weight(block.skip[1])[:, :, 0, 0] / SQRT2
    outputs, inputs = skip.shape
    _, bf16 = choose(f"{name}.skip", inputs, outputs, resolution // 2)
    blur = block.skip[0]
    assert isinstance(blur, Blur)
    _check_blur(blur.kernel, 1.0)
    return EncoderBlock(
        conv1=_conv_layer(block.conv1, f"{name}.conv1", resolution, choose, SQRT2),
        conv2=_conv_layer(block.conv2, f"{name}.conv2", resolution // 2, choose, 1.0),
        skip=Pointwise(
            weights.pointwise_weight(skip), _zero_bias(outputs), outputs, blur=True, bf16=bf16, slope=1.0
        ),
    )


def decoder_layers(model: StyleMapGAN, choose: Choice) -> DecoderLayers:
    decoder: Any = model.generator.decoder
    config = model.config
    codes = []
    for i, layer in enumerate(decoder.convs_latent):
        resolution = config.resolutions[i // 2]
        codes.append(_conv_layer(layer, f"codes.{i}", resolution, choose, SQRT2))
    first = config.resolutions[0]
    styled = [_styled(decoder.conv1, "main.0", first, choose, SQRT2)]
    skips = []
    for i, block in enumerate(decoder.convs):
        resolution = config.resolutions[i]
        styled.append(_styled(block.conv1, f"main.{2 * i + 1}", resolution, choose, SQRT2))
        styled.append(_styled(block.conv2, f"main.{2 * i + 2}", 2 * resolution, choose, 1.0))
        weight = _weight(block.skip[0])[:, :, 0, 0] / SQRT2
        outputs, inputs = weight.shape
        _check_blur(block.skip[1].kernel, 4.0)
        _, bf16 = choose(f"skip.{2 * i + 2}", inputs, outputs, resolution)
        skips.append(
            Pointwise(weights.pointwise_weight(weight), _zero_bias(outputs), outputs, bf16=bf16, slope=1.0)
        )
    return DecoderLayers(
        codes=codes,
        constant=_normalised_constant(decoder.input.input, decoder.conv1.conv),
        constant_moments=_identity_moments(config.channels(first)),
        styled=styled,
        skips=skips,
        to_rgb=_to_rgb(decoder.to_rgb, choose, config.size),
    )


def _conv_layer(layer: ConvLayer, name: str, resolution: int, choose: Choice, gain: float) -> Convolution:
    """A ConvLayer 3 × 3 with its activation, times gain / √2; ``resolution`` is that of its output."""
    convolution = next(module for module in layer if hasattr(module, "scale"))
    blur = next((module.kernel for module in layer if isinstance(module, Blur)), None)
    mode = Mode.PLAIN
    if blur is not None:
        mode = Mode.DOWN if isinstance(convolution, EqualConv2d) else Mode.UP
    return _convolution(
        name, _weight(convolution) * gain, _bias(layer) * gain, mode, blur, choose, resolution
    )


def _convolution(
    name: str, weight: Tensor, bias: Tensor, mode: Mode, blur: Tensor | None, choose: Choice, resolution: int
) -> Convolution:
    if blur is not None:
        _check_blur(blur, 4.0 if mode == Mode.UP else 1.0)
    folded = weights.plain_weight(weight)
    tile, bf16 = choose(name, weight.shape[1], weight.shape[0], resolution)
    return Convolution(
        name,
        folded,
        weights.plain_bias(bias),
        weight.shape[0],
        mode=mode,
        tile=tile if mode == Mode.PLAIN else 2,
        bf16=bf16,
        slope=SLOPE,
    )


def _styled(layer: StyledConv, name: str, resolution: int, choose: Choice, gain: float) -> StyledLayer:
    """``resolution`` is that of the layer's input and of its maps."""
    conv = layer.conv
    weight, bias = conv.weight[0].double() * conv.scale * gain, layer.activate.bias.double() * gain
    mode, blur = (Mode.PLAIN, None) if conv.blur is None else (Mode.UP, conv.blur.kernel)
    groups, fixed = _norm(conv)
    return StyledLayer(
        modulation=_modulation(conv, name, resolution, choose),
        conv=_convolution(name, weight, bias, mode, blur, choose, resolution),
        groups=groups,
        fixed=fixed,
    )


def _modulation(conv: ModulatedConv2d, name: str, resolution: int, choose: Choice) -> Modulation:
    gamma, beta = _weight(conv.gamma), _weight(conv.beta)
    folded = weights.modulation_weight(gamma, beta)
    name = name.replace("main", "maps")
    tile, bf16 = choose(name, gamma.shape[1], folded.shape[0], resolution)
    assert conv.gamma.bias is not None
    assert conv.beta.bias is not None
    bias = weights.modulation_bias(conv.gamma.bias, conv.beta.bias)
    return Modulation(name, folded, bias, gamma.shape[0], tile=tile, bf16=bf16)


def _to_rgb(layer: StyledConv, choose: Choice, resolution: int) -> ToRgb:
    conv = layer.conv
    assert conv.gamma.bias is not None
    assert conv.beta.bias is not None
    rgb = conv.weight[0, :, :, 0, 0].double() * conv.scale * SQRT2
    beta = torch.einsum("oc,cikl->oikl", rgb, _weight(conv.beta))
    beta_bias = rgb @ conv.beta.bias.double() + layer.activate.bias.double() * SQRT2
    weight = torch.cat([_weight(conv.gamma), beta])
    bias = torch.cat([conv.gamma.bias.double(), beta_bias])
    folded = weights.plain_weight(weight)
    tile, bf16 = choose("maps.rgb", weight.shape[1], weight.shape[0], resolution)
    groups, fixed = _norm(conv)
    maps = Convolution("maps.rgb", folded, weights.plain_bias(bias), weight.shape[0], tile=tile, bf16=bf16)
    return ToRgb(maps=maps, weight=rgb.float().contiguous(), groups=groups, fixed=fixed)


def _norm(conv: ModulatedConv2d) -> tuple[int | None, Moments | None]:
    channels = conv.weight.shape[2]
    if conv.normalize_mode == "BatchNorm2d":
        assert conv.norm is not None
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        rstd = (conv.norm.running_var.double() + EPS).rsqrt()
        return None, Moments(conv.norm.running_mean.float()[None].contiguous(), rstd.float()[None])
    return {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS}.get(conv.normalize_mode, channels), None


def _normalised_constant(constant: Tensor, conv: ModulatedConv2d) -> Tensor:
    value, one = constant.double(), torch.ones((), dtype=torch.float64)
    mean = var = None
    if conv.norm is not None:
        assert conv.norm.running_mean is not None
        assert conv.norm.running_var is not None
        mean, var = conv.norm.running_mean.double(), conv.norm.running_var.double()
    normalised = reference.modulate(value, one, 0 * one, conv.normalize_mode, EPS, mean, var)
    return normalised.permute(0, 2, 3, 1).float().contiguous()


def _identity_moments(channels: int) -> Moments:
    return Moments(torch.zeros(1, channels), torch.ones(1, channels))


def _weight(layer: torch.nn.Module) -> Tensor:
    """The scaled weight of an equalised convolution, float64."""
    weight: Tensor = layer.weight.detach().double() * layer.scale  # type: ignore[operator, union-attr]
    return weight


def _bias(layer: ConvLayer) -> Tensor:
    """The bias of a ConvLayer's activation, float64."""
    bias: Tensor = layer[-1].bias.detach().double()  # type: ignore[operator, union-attr]
    return bias


def _zero_bias(channels: int) -> Tensor:
    return weights.plain_bias(torch.zeros(channels))


def _check_blur(kernel: Tensor, gain: float) -> None:
    """The blur is built into the kernels."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    if not torch.allclose(kernel.double(), gain * torch.outer(taps, taps) / 64):
        raise ValueError("the CPU plan needs the blur filter [1, 3, 3, 1]; this model has another one")
