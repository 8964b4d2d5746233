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

from stylemap.engine.cpu import weights
from stylemap.engine.cpu.convolution import Convolution, Modulation, Moments, Pointwise
from stylemap.engine.cpu.folding import (
    activation_bias,
    check_blur,
    identity_moments,
    norm,
    normalised_constant,
    scaled_weight,
    zero_bias,
)
from stylemap.engine.cpu.shapes import Mode
from stylemap.model import StyleMapGAN
from stylemap.model.layers import Blur, ConvLayer, EqualConv2d, ResBlock
from stylemap.model.modulation import ModulatedConv2d, StyledConv

SQRT2 = math.sqrt(2.0)
SLOPE = 0.2
EPS = 1e-5

#: (layer name, inputs, outputs, side of the grid; 0 where there is no tile to choose) -> tile and whether
#: products are bfloat16.
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
    from_rgb, rgb_bias = scaled_weight(encoder.from_rgb[0]) * SQRT2, activation_bias(encoder.from_rgb) * SQRT2
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
    skip = scaled_weight(block.skip[1])[:, :, 0, 0] / SQRT2
    outputs, inputs = skip.shape
    _, bf16 = choose(f"{name}.skip", inputs, outputs, 0)
    blur = block.skip[0]
    assert isinstance(blur, Blur)
    check_blur(blur.kernel, 1.0)
    return EncoderBlock(
        conv1=_conv_layer(block.conv1, f"{name}.conv1", resolution, choose, SQRT2),
        conv2=_conv_layer(block.conv2, f"{name}.conv2", resolution // 2, choose, 1.0),
        skip=Pointwise(
            weights.pointwise_weight(skip), zero_bias(outputs), outputs, blur=True, bf16=bf16, slope=1.0
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
        weight = scaled_weight(block.skip[0])[:, :, 0, 0] / SQRT2
        outputs, inputs = weight.shape
        check_blur(block.skip[1].kernel, 4.0)
        _, bf16 = choose(f"skip.{2 * i + 2}", inputs, outputs, 0)
        skips.append(
            Pointwise(weights.pointwise_weight(weight), zero_bias(outputs), outputs, bf16=bf16, slope=1.0)
        )
    return DecoderLayers(
        codes=codes,
        constant=normalised_constant(decoder.input.input, decoder.conv1.conv),
        constant_moments=identity_moments(config.channels(first)),
        styled=styled,
        skips=skips,
        to_rgb=_to_rgb(decoder.to_rgb, choose, config.size),
    )


def _conv_layer(layer: ConvLayer, name: str, resolution: int, choose: Choice, gain: float) -> Convolution:
    """A ConvLayer 3 × 3 with its activation, times gain / √2; ``resolution``: of its output."""
    convolution = next(module for module in layer if hasattr(module, "scale"))
    blur = next((module.kernel for module in layer if isinstance(module, Blur)), None)
    mode = Mode.PLAIN
    if blur is not None:
        mode = Mode.DOWN if isinstance(convolution, EqualConv2d) else Mode.UP
    if mode == Mode.UP:
        resolution //= 2
    return _convolution(
        name, scaled_weight(convolution) * gain, activation_bias(layer) * gain, mode, blur, choose, resolution
    )


def _convolution(
    name: str, weight: Tensor, bias: Tensor, mode: Mode, blur: Tensor | None, choose: Choice, resolution: int
) -> Convolution:
    if blur is not None:
        check_blur(blur, 4.0 if mode == Mode.UP else 1.0)
    folded = weights.plain_weight(weight)
    side = resolution if mode == Mode.PLAIN else 0
    tile, bf16 = choose(name, weight.shape[1], weight.shape[0], side)
    return Convolution(
        name,
        folded,
        weights.plain_bias(bias),
        weight.shape[0],
        mode=mode,
        tile=tile if mode == Mode.PLAIN else 2,
        bf16=bf16,
        slope=SLOPE,
        side=resolution,
    )


def _styled(layer: StyledConv, name: str, resolution: int, choose: Choice, gain: float) -> StyledLayer:
    """``resolution`` is that of the layer's input and of its maps."""
    conv = layer.conv
    weight, bias = conv.weight[0].double() * conv.scale * gain, layer.activate.bias.double() * gain
    mode, blur = (Mode.PLAIN, None) if conv.blur is None else (Mode.UP, conv.blur.kernel)
    groups, fixed = norm(conv)
    return StyledLayer(
        modulation=_modulation(conv, name, resolution, choose),
        conv=_convolution(name, weight, bias, mode, blur, choose, resolution),
        groups=groups,
        fixed=fixed,
    )


def _modulation(conv: ModulatedConv2d, name: str, resolution: int, choose: Choice) -> Modulation:
    gamma, beta = scaled_weight(conv.gamma), scaled_weight(conv.beta)
    folded = weights.modulation_weight(gamma, beta)
    name = name.replace("main", "maps")
    tile, bf16 = choose(name, gamma.shape[1], folded.shape[0], resolution)
    assert conv.gamma.bias is not None
    assert conv.beta.bias is not None
    bias = weights.modulation_bias(conv.gamma.bias, conv.beta.bias)
    return Modulation(name, folded, bias, gamma.shape[0], tile=tile, bf16=bf16, side=resolution)


def _to_rgb(layer: StyledConv, choose: Choice, resolution: int) -> ToRgb:
    conv = layer.conv
    assert conv.gamma.bias is not None
    assert conv.beta.bias is not None
    rgb = conv.weight[0, :, :, 0, 0].double() * conv.scale * SQRT2
    beta = torch.einsum("oc,cikl->oikl", rgb, scaled_weight(conv.beta))
    beta_bias = rgb @ conv.beta.bias.double() + layer.activate.bias.double() * SQRT2
    weight = torch.cat([scaled_weight(conv.gamma), beta])
    bias = torch.cat([conv.gamma.bias.double(), beta_bias])
    folded = weights.plain_weight(weight)
    tile, bf16 = choose("maps.rgb", weight.shape[1], weight.shape[0], resolution)
    groups, fixed = norm(conv)
    maps = Convolution(
        "maps.rgb",
        folded,
        weights.plain_bias(bias),
        weight.shape[0],
        tile=tile,
        bf16=bf16,
        side=resolution,
    )
    return ToRgb(maps=maps, weight=rgb.float().contiguous(), groups=groups, fixed=fixed)
