"""Encoder: image → stylemap (docs/network.md section 3)."""

from __future__ import annotations

from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.layers import ConvLayer, ResBlock


class Encoder(nn.Module):
    """N×3×S×S in [-1, 1] → stylemap N×K×L×L."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.channels
        self.from_rgb = ConvLayer(3, width(config.size), 1)
        halved = reversed(config.resolutions[1:])
        self.convs = nn.Sequential(*(ResBlock(width(r), width(r // 2)) for r in halved))
        self.final_conv = ConvLayer(width(config.latent_spatial_size), config.latent_channel_size, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of images N×3×S×S. Shapes are not checked here."""
        features = self.convs(self.from_rgb(images))
        stylemap: Tensor = self.final_conv(features)
        return stylemap
