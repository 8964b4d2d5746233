"""The networks for inference, written once over a small set of operators.

`stylemap.export.eager.Eager` runs these functions on tensors, `stylemap.export.graph.GraphBuilder` turns
them into ONNX nodes. Names of layers are those of the checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

from torch import Tensor

from stylemap.config import Config
from stylemap.export import fold
from stylemap.export.fold import RESIDUAL, Folded
from stylemap.model import Decoder, Encoder, MappingNetwork, Stylecodes
from stylemap.model.decoder import StyledResBlock
from stylemap.model.layers import ConvLayer, EqualLinear, ResBlock
from stylemap.model.modulation import ModulatedConv2d
from stylemap.ops import reference

V = TypeVar("V")


@dataclass(frozen=True)
class Layers(Generic[V]):
    """What R references of each of N images are blended by.

    masks: N×R×S×S in [0, 1], over the reference's own pixels. shifts: N×R×2 integers (dx, dy) in
    pixels. weights: N. size: S.
    """

    masks: V
    shifts: V
    weights: V
    size: int


@dataclass(frozen=True)
class Maps(Generic[V]):
    """γ and β of a layer that are there already, N×2C×r×r, in place of the stylecode they are made from."""

    value: V


class Operators(Protocol[V]):
    """What the networks are made of. Weights are float64 tensors; ``name`` is the layer's."""

    def constant(self, value: Tensor, name: str) -> V: ...

    def linear(self, x: V, folded: Folded, name: str) -> V:
        """x Wᵀ + b, N×in → N×out."""

    def pixel_norm(self, x: V, name: str) -> V:
        """x · rsqrt(mean(x², dim 1) + 1e-8)."""

    def reshape(self, x: V, shape: tuple[int, ...], name: str) -> V:
        """N×… → N×shape."""

    def conv(self, x: V, weight: Tensor, bias: Tensor | None, name: str) -> V:
        """k×k, stride 1, padding k//2."""

    def down_conv(self, x: V, folded: Folded, name: str) -> V:
        """Blur with padding 2, then 3×3 with stride 2: H×W → H/2×W/2."""

    def up_conv(self, x: V, folded: Folded, name: str) -> V:
        """Transposed 3×3 with stride 2 (weight out×in×3×3), blur of gain 4, bias: H×W → 2H×2W."""

    def downsample(self, x: V, name: str) -> V:
        """Blur with padding 1, every second sample."""

    def upsample(self, x: V, name: str) -> V:
        """A zero after every sample, blur of gain 4 with padding (2, 1)."""

    def leaky(self, x: V, name: str) -> V: ...

    def add(self, a: V, b: V, name: str) -> V: ...

    def multiply(self, a: V, b: V, name: str) -> V: ...

    def split(self, x: V, sizes: Sequence[int], name: str) -> list[V]:
        """Along the channels."""

    def normalize(self, x: V, mode: str, name: str) -> V:
        """LayerNorm, GroupNorm or InstanceNorm2d without parameters; statistics in float32 or better."""

    def modulate(self, x: V, code: V, both: Folded, mode: str | None, name: str) -> V:
        """norm(x)·γ + β with γ and β by one 3×3 convolution of the code; no norm where mode is None."""

    def blend(self, code: V, laid: V, layers: Layers[V], side: int, name: str) -> V:
        """A stylecode N×C×r×r of the interactive blend (docs/network.md section 8), references N×R×C×r×r."""

    def ring(self, code: V, maps: V, laid: V, layers: Layers[V], both: Folded, side: int, name: str) -> V:
        """The maps of a blended code: those of the image N×M×r×r with the references' N×R×M×r×r laid over
        them, and where the 3×3 neighbourhood of a cell is not all of one kind, convolved from the code."""


def encoder(op: Operators[V], net: Encoder, images: V) -> V:
    """N×3×S×S → N×K×L×L."""
    x = _conv(op, images, fold.conv_layer(net.from_rgb), "encoder/from_rgb")
    for index, block in enumerate(net.convs):
        x = _res_block(op, cast(ResBlock, block), x, f"encoder/convs.{index}")
    return _conv(op, x, fold.conv_layer(net.final_conv), "encoder/final_conv")


def mapping(op: Operators[V], net: MappingNetwork, z: V, class_vector: Tensor | None = None) -> V:
    """N×K → N×K×L×L. class_vector: 1×K, added to every z."""
    if class_vector is not None:
        z = op.add(z, op.constant(class_vector, "class_vector"), "class")
    x = op.pixel_norm(z, "mapping_z.0")
    for index, layer in enumerate(list(net)[1:], start=1):
        name = f"mapping_z.{index}"
        x = op.leaky(op.linear(x, fold.linear(cast(EqualLinear, layer)), name), f"{name}/activate")
    return op.reshape(x, net.stylemap_shape, "mapping_z")


def stylecodes(op: Operators[V], net: Stylecodes, w: V) -> list[V]:
    """N×K×L×L → two codes per resolution."""
    codes: list[V] = []
    code = w
    for index, layer in enumerate(net):
        name, folded = f"decoder/convs_latent.{index}", fold.conv_layer(cast(ConvLayer, layer))
        if index >= 2 and index % 2 == 0:
            code = op.leaky(op.up_conv(code, folded, name), f"{name}/activate")
        else:
            code = _conv(op, code, folded, name)
        codes.append(code)
    return codes


def synthesis(op: Operators[V], net: Decoder, codes: Sequence[V | Maps[V]]) -> V:
    """Stylecodes, or the maps of some, → N×3×S×S."""
    name = "decoder/conv1"
    x = _modulated_constant(op, net, codes[0], name)
    x = _conv(op, x, fold.styled_conv(net.conv1), name)
    for index, block in enumerate(net.convs):
        code, fine_code = codes[2 * index + 1], codes[2 * index + 2]
        x = _styled_block(op, cast(StyledResBlock, block), x, code, fine_code, f"decoder/convs.{index}")
    return _to_rgb(op, net, x, codes[-1])


def editor(
    op: Operators[V],
    net: Decoder,
    config: Config,
    codes: Sequence[V],
    references: Sequence[V],
    layers: Layers[V],
) -> V:
    """Codes of N images, and of R references for each (N×R×C×r×r) → N×3×S×S."""
    mixed = []
    for index, (code, laid) in enumerate(zip(codes, references, strict=True)):
        side = config.stylecode_shapes[index][1]
        mixed.append(op.blend(code, laid, layers, side, f"blend/codes_{index}"))
    return synthesis(op, net, mixed)


def maps(op: Operators[V], net: Decoder, codes: Sequence[V]) -> list[V]:
    """Stylecodes → γ and β of every layer."""
    layers = zip(codes, _modulations(net), strict=True)
    return [op.conv(code, both.weight, both.bias, f"{name}/modulation") for code, (name, both) in layers]


def cached_editor(
    op: Operators[V],
    net: Decoder,
    config: Config,
    originals: tuple[Sequence[V], Sequence[V]],
    references: tuple[Sequence[V], Sequence[V]],
    layers: Layers[V],
) -> V:
    """`editor` from codes and maps of both."""
    mixed: list[V | Maps[V]] = []
    for index, (name, both) in enumerate(_modulations(net)):
        side = config.stylecode_shapes[index][1]
        (code, known), (laid, laid_maps) = (
            (codes[index], made[index]) for codes, made in (originals, references)
        )
        code = op.blend(code, laid, layers, side, f"blend/codes_{index}")
        mixed.append(Maps(op.ring(code, known, laid_maps, layers, both, side, f"{name}/modulation")))
    return synthesis(op, net, mixed)


def _modulations(net: Decoder) -> list[tuple[str, Folded]]:
    """Name of the layer that each stylecode modulates, and the convolution that makes its maps."""
    blocks = [cast(StyledResBlock, block) for block in net.convs]
    styled = {"decoder/conv1": net.conv1}
    for index, block in enumerate(blocks):
        styled |= {f"decoder/convs.{index}/conv1": block.conv1, f"decoder/convs.{index}/conv2": block.conv2}
    made = [(name, fold.modulation(layer.conv)) for name, layer in styled.items()]
    return [*made, ("decoder/to_rgb", fold.to_rgb(net.to_rgb)[0])]


def _conv(op: Operators[V], x: V, folded: Folded, name: str) -> V:
    return op.leaky(op.conv(x, folded.weight, folded.bias, name), f"{name}/activate")


def _res_block(op: Operators[V], block: ResBlock, x: V, name: str) -> V:
    skip = op.conv(op.downsample(x, f"{name}/skip/blur"), fold.skip(block.skip), None, f"{name}/skip")
    x = _conv(op, x, fold.conv_layer(block.conv1), f"{name}/conv1")
    x = op.down_conv(x, fold.conv_layer(block.conv2, RESIDUAL), f"{name}/conv2")
    return op.add(op.leaky(x, f"{name}/conv2/activate"), skip, name)


def _styled_block(
    op: Operators[V], block: StyledResBlock, x: V, code: V | Maps[V], fine_code: V | Maps[V], name: str
) -> V:
    skip = op.upsample(op.conv(x, fold.skip(block.skip), None, f"{name}/skip"), f"{name}/skip/blur")
    x = _modulate(op, block.conv1.conv, x, code, f"{name}/conv1")
    x = op.up_conv(x, fold.styled_conv(block.conv1), f"{name}/conv1")
    x = op.leaky(x, f"{name}/conv1/activate")
    x = _modulate(op, block.conv2.conv, x, fine_code, f"{name}/conv2")
    x = _conv(op, x, fold.styled_conv(block.conv2, RESIDUAL), f"{name}/conv2")
    return op.add(x, skip, name)


def _modulate(op: Operators[V], layer: ModulatedConv2d, x: V, code: V | Maps[V], name: str) -> V:
    """norm(x)·γ + β."""
    # The statistics of BatchNorm2d are constants, folded into γ and β.
    mode = None if layer.norm is not None else layer.normalize_mode
    both = fold.modulation(layer)
    if isinstance(code, Maps):
        return modulate(op, x, code, both, mode, name)
    return op.modulate(x, code, both, mode, name)


def modulate(op: Operators[V], x: V, code: V | Maps[V], both: Folded, mode: str | None, name: str) -> V:
    """`Operators.modulate` from the others."""
    channels = len(both.bias) // 2
    gamma, beta = _gamma_beta(op, code, both, (channels, channels), name)
    normal = x if mode is None else op.normalize(x, mode, f"{name}/norm")
    return op.add(op.multiply(normal, gamma, f"{name}/scale"), beta, f"{name}/shift")


def _modulated_constant(op: Operators[V], net: Decoder, code: V | Maps[V], name: str) -> V:
    """The same for the learned constant, whose norm is a constant too."""
    layer, value = net.conv1.conv, net.input.input.detach().double().cpu()
    if layer.norm is None:
        mean, var = reference.moments(value, layer.normalize_mode)
        grouped = reference.group_view(value, layer.normalize_mode)
        value = ((grouped - mean) * (var + fold.EPS).rsqrt()).reshape(value.shape)
    channels = value.shape[1]
    gamma, beta = _gamma_beta(op, code, fold.modulation(layer), (channels, channels), name)
    scaled = op.multiply(op.constant(value, "decoder/input"), gamma, f"{name}/scale")
    return op.add(scaled, beta, f"{name}/shift")


def _to_rgb(op: Operators[V], net: Decoder, x: V, code: V | Maps[V]) -> V:
    name = "decoder/to_rgb"
    both, weight = fold.to_rgb(net.to_rgb)
    gamma, beta = _gamma_beta(op, code, both, (weight.shape[1], 3), name)
    scaled = op.multiply(_normalize(op, net.to_rgb.conv, x, name), gamma, f"{name}/scale")
    image = op.add(op.conv(scaled, weight, None, name), beta, f"{name}/shift")
    return op.leaky(image, f"{name}/activate")


def _gamma_beta(
    op: Operators[V], code: V | Maps[V], both: Folded, channels: tuple[int, int], name: str
) -> list[V]:
    name = f"{name}/modulation"
    made = code.value if isinstance(code, Maps) else op.conv(code, both.weight, both.bias, name)
    return op.split(made, channels, name)


def _normalize(op: Operators[V], layer: ModulatedConv2d, x: V, name: str) -> V:
    # The statistics of BatchNorm2d are constants, folded into γ and β.
    return x if layer.norm is not None else op.normalize(x, layer.normalize_mode, f"{name}/norm")
