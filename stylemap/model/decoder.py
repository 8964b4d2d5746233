"""Decoder: stylecodes → image (docs/network.md section 5), and the generator: mapping network and decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.layers import ConvLayer, normal_parameter
from stylemap.model.mapping import MappingNetwork
from stylemap.model.modulation import StyledConv
from stylemap.model.stylecodes import Stylecodes


class ConstantInput(nn.Module):
    """The learned constant the decoder starts from, repeated for a batch without copying."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.input = normal_parameter(1, channels, size, size)

    def forward(self, batch: int) -> Tensor:
        """The constant for ``batch`` samples, N×C×L×L; a view."""
        return self.input.expand(batch, -1, -1, -1)


class StyledResBlock(nn.Module):
    """N×C(r)×r×r → N×C(2r)×2r×2r.

    conv1 runs at the resolution it comes from, so it takes the second code of that resolution r; conv2
    takes the first code of 2r.
    """

    def __init__(self, config: Config, resolution: int) -> None:
        super().__init__()
        fine = 2 * resolution
        narrow, wide = config.channels(resolution), config.channels(fine)
        norm, style = config.normalize_mode, config.stylecode_channels
        self.conv1 = StyledConv(narrow, wide, 3, style(resolution), norm, up=True)
        self.conv2 = StyledConv(wide, wide, 3, style(fine), norm)
        self.skip = ConvLayer(narrow, wide, 1, mode="up", activate=False)

    def forward(self, x: Tensor, code: Tensor, fine_code: Tensor) -> Tensor:
        """N×C(2r)×2r×2r from x N×C(r)×r×r, ``code`` at resolution r and ``fine_code`` at 2r."""
        total: Tensor = self.conv2(self.conv1(x, code), fine_code) + self.skip(x)
        return total * math.sqrt(0.5)


class Decoder(nn.Module):
    """Stylecodes (two per resolution) → image N×3×S×S, nominally in [-1, 1] but not limited to it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        first, last = config.latent_spatial_size, config.size
        width, style, norm = config.channels, config.stylecode_channels, config.normalize_mode
        self.input = ConstantInput(width(first), first)
        self.conv1 = StyledConv(width(first), width(first), 3, style(first), norm)
        self.convs = nn.ModuleList(StyledResBlock(config, r) for r in config.resolutions[:-1])
        self.to_rgb = StyledConv(width(last), 3, 1, style(last), norm)
        self.convs_latent = Stylecodes(config)

    def forward(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes of `Config.stylecode_shapes`. Shapes are not checked here."""
        x = self.conv1(self.input(codes[0].shape[0]), codes[0])
        for i, block in enumerate(self.convs):
            x = block(x, codes[2 * i + 1], codes[2 * i + 2])
        image: Tensor = self.to_rgb(x, codes[-1])
        return image


class Generator(nn.Module):
    """Mapping network and decoder, as one entry of the checkpoints."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mapping_z = MappingNetwork(config)
        self.decoder = Decoder(config)

    def forward(self, z: Tensor) -> Tensor:
        """Images N×3×S×S from z N×K."""
        image: Tensor = self.decoder(self.decoder.convs_latent(self.mapping_z(z)))
        return image
