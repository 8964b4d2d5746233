"""Stylecodes: the chain that turns a stylemap into two codes per resolution (docs/network.md section 5)."""

from __future__ import annotations

from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.layers import ConvLayer


class Stylecodes(nn.ModuleList):
    """Stylemap N×K×L×L → codes of `Config.stylecode_shapes`, each made from the one before it."""

    def __init__(self, config: Config) -> None:
        width = config.stylecode_channels
        first, *others = config.resolutions
        layers = [
            ConvLayer(config.latent_channel_size, width(first), 3),
            ConvLayer(width(first), width(first), 3),
        ]
        for r in others:
            layers += [ConvLayer(width(r // 2), width(r), 3, mode="up"), ConvLayer(width(r), width(r), 3)]
        super().__init__(layers)

    def forward(self, stylemap: Tensor) -> list[Tensor]:
        """The codes of stylemaps N×K×L×L, from the coarsest. Shapes are not checked here."""
        codes: list[Tensor] = []
        code = stylemap
        for layer in self:
            code = layer(code)
            codes.append(code)
        return codes
