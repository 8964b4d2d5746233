"""The layers of the inference network, from a configuration alone: names and shapes, no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from stylemap.config import Config

SLOPE = 0.2  # of the leaky ReLU
EPS = 1e-5  # of every norm


class Mode(Enum):
    """How a convolution changes the side of its grid."""

    PLAIN = "plain"  # stride 1, zeros around so that the side stays
    UP = "up"  # transposed 3×3 of stride 2, then the blur of gain 4: doubles
    DOWN = "down"  # blur, then stride 2: halves


class Part(Enum):
    """Where in the network a convolution stands. Within a part, `Conv.index` counts from the input on."""

    ENCODER = "encoder"
    CODES = "codes"  # of the chain from the stylemap to the stylecodes
    MAPS = "maps"  # from a stylecode to γ and β
    MAIN = "main"  # from the constant to the image
    SKIP = "skip"  # 1×1, around two convolutions of the decoder


@dataclass(frozen=True)
class Conv:
    """y = leaky(conv(x, weight) + bias, slope): one convolution and the activation after it.

    name: the layer's in the checkpoints, with "/" between modules; weights are found by it
        (`fold.Weights.conv`), and it is a good key for what a backend makes of them.
    inputs, outputs: channels. size: k of the k×k taps, 1 or 3.
    side: of the grid that the taps walk on: the result's, but with `Mode.UP` the input's.
    slope: of the leaky ReLU; 1 where there is none. The activation's factor √2 is in the weights.
    residual: whether a residual sum takes the result; its factor 1/√2 is in the weights.
    """

    name: str
    part: Part
    index: int
    inputs: int
    outputs: int
    side: int
    size: int = 3
    mode: Mode = Mode.PLAIN
    slope: float = SLOPE
    residual: bool = False


@dataclass(frozen=True)
class Linear:
    """y = leaky(x Wᵀ + b), N×inputs → N×outputs; a layer of the mapping network."""

    name: str
    index: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Block:
    """A residual block of the encoder: conv2(conv1(x)) + skip(x)."""

    conv1: Conv
    conv2: Conv  # Mode.DOWN
    skip: Conv  # Mode.DOWN, 1×1


@dataclass(frozen=True)
class Styled:
    """A modulated convolution: conv(norm(x)·γ + β), plus the upsampled skip where a block ends.

    index: of the layer, and of the stylecode that modulates it.
    maps: 3×3 from that stylecode to γ (C channels), then β (C).
    norm: of x, one of `config.NORMALIZE_MODES`; None where γ and β have it in them (BatchNorm2d).
    skip: of the block that ends with this layer, whose input is that of the layer before.
    """

    index: int
    maps: Conv
    conv: Conv
    norm: str | None
    skip: Conv | None = None


@dataclass(frozen=True)
class ToRgb:
    """The last layer: image = leaky(conv(norm(x)·γ) + β).

    maps: from the last stylecode to γ (C channels), then the 3 of β, which have been through ``conv`` (a
    1×1 convolution commutes with adding β) and have its bias. conv: 1×1, without a bias of its own.
    """

    maps: Conv
    conv: Conv
    norm: str | None


@dataclass(frozen=True)
class Network:
    """Every layer of a configuration. styled[i] and codes[i] belong together, `to_rgb` and codes[-1]."""

    config: Config
    mapping: tuple[Linear, ...]
    from_rgb: Conv
    blocks: tuple[Block, ...]
    final: Conv
    codes: tuple[Conv, ...]
    styled: tuple[Styled, ...]
    to_rgb: ToRgb

    @property
    def norm(self) -> str | None:
        """That of every layer of the decoder."""
        return self.to_rgb.norm

    @property
    def maps(self) -> tuple[Conv, ...]:
        """The convolution that makes the maps of each stylecode."""
        return (*(layer.maps for layer in self.styled), self.to_rgb.maps)

    def convolutions(self) -> Iterator[Conv]:
        """All of them, encoder first, that of `to_rgb` last."""
        yield self.from_rgb
        for block in self.blocks:
            yield from (block.conv1, block.conv2, block.skip)
        yield from (self.final, *self.codes)
        for layer in self.styled:
            yield from (layer.maps, layer.conv)
            if layer.skip is not None:
                yield layer.skip
        yield from (self.to_rgb.maps, self.to_rgb.conv)


def network(config: Config) -> Network:
    """The layers of the network of a configuration."""
    first, last = config.latent_spatial_size, config.size
    rgb = Conv("encoder/from_rgb", Part.ENCODER, 0, 3, config.channels(last), last, size=1)
    return Network(
        config=config,
        mapping=_mapping(config),
        from_rgb=rgb,
        blocks=tuple(_block(config, index) for index in range(len(config.resolutions) - 1)),
        final=_encoder_conv("encoder/final_conv", config.channels(first), config.latent_channel_size, first),
        codes=_codes(config),
        styled=_styled(config),
        to_rgb=_to_rgb(config),
    )


def _mapping(config: Config) -> tuple[Linear, ...]:
    channels, height, width = config.stylemap_shape
    widths = [channels] * config.mapping_layer_num + [channels * height * width]
    return tuple(Linear(f"mapping_z.{i}", i, widths[i - 1], widths[i]) for i in range(1, len(widths)))


def _encoder_conv(name: str, inputs: int, outputs: int, side: int) -> Conv:
    return Conv(name, Part.ENCODER, 0, inputs, outputs, side)


def _block(config: Config, index: int) -> Block:
    side = config.size >> index
    name, wide, narrow = f"encoder/convs.{index}", config.channels(side), config.channels(side // 2)
    conv2 = Conv(f"{name}/conv2", Part.ENCODER, index, wide, narrow, side // 2, mode=Mode.DOWN, residual=True)
    return Block(
        conv1=Conv(f"{name}/conv1", Part.ENCODER, index, wide, wide, side),
        conv2=conv2,
        skip=replace(conv2, name=f"{name}/skip", size=1, slope=1.0),
    )


def _codes(config: Config) -> tuple[Conv, ...]:
    found = []
    inputs = config.latent_channel_size
    for index, (channels, side, _) in enumerate(config.stylecode_shapes):
        up = index >= 2 and index % 2 == 0
        mode, grid = (Mode.UP, side // 2) if up else (Mode.PLAIN, side)
        name = f"decoder/convs_latent.{index}"
        found.append(Conv(name, Part.CODES, index, inputs, channels, grid, mode=mode))
        inputs = channels
    return tuple(found)


def _norm(config: Config) -> str | None:
    return None if config.normalize_mode == "BatchNorm2d" else config.normalize_mode


def _maps(config: Config, name: str, index: int, outputs: int) -> Conv:
    inputs, side, _ = config.stylecode_shapes[index]
    return Conv(f"{name}/modulation", Part.MAPS, index, inputs, outputs, side, slope=1.0)


def _styled(config: Config) -> tuple[Styled, ...]:
    first = config.latent_spatial_size
    layers = [_layer(config, "decoder/conv1", 0, config.channels(first), Mode.PLAIN)]
    for block, side in enumerate(config.resolutions[:-1]):
        name, wide = f"decoder/convs.{block}", config.channels(2 * side)
        up = _layer(config, f"{name}/conv1", 2 * block + 1, wide, Mode.UP)
        skip = replace(
            up.conv, name=f"{name}/skip", part=Part.SKIP, size=1, mode=Mode.PLAIN, slope=1.0, residual=True
        )
        layers.append(up)
        layers.append(_layer(config, f"{name}/conv2", 2 * block + 2, wide, Mode.PLAIN, skip))
    return tuple(layers)


def _layer(
    config: Config, name: str, index: int, outputs: int, mode: Mode, skip: Conv | None = None
) -> Styled:
    side = config.stylecode_shapes[index][1]
    inputs = config.channels(side)
    conv = Conv(name, Part.MAIN, index, inputs, outputs, side, mode=mode, residual=skip is not None)
    return Styled(index, _maps(config, name, index, 2 * inputs), conv, _norm(config), skip)


def _to_rgb(config: Config) -> ToRgb:
    name, index, channels = "decoder/to_rgb", len(config.stylecode_shapes) - 1, config.channels(config.size)
    maps = _maps(config, name, index, channels + 3)
    return ToRgb(maps, Conv(name, Part.MAIN, index, channels, 3, config.size, size=1), _norm(config))
