"""Discriminator (StyleGAN2's, docs/network.md section 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model.checks import check_images
from stylemap.model.layers import ConvLayer, EqualLinear, ResBlock

GROUP = 4


def minibatch_stddev(x: Tensor, group: int = GROUP) -> Tensor:
    """N×C×H×W → N×(C+1)×H×W: appends how much the samples of a group differ, one value per group.

    Sample i belongs to group i mod N/g, with g = min(N, group). Computed in float32 or better.
    Raises ValueError when N is not a multiple of g.
    """
    n, c, h, w = x.shape
    g = min(n, group)
    if g == 0 or n % g:
        raise ValueError(f"images: expected a batch below {group} or a multiple of {group}, got {n}")
    grouped = x.view(g, n // g, c, h, w).to(torch.promote_types(x.dtype, torch.float32))
    stddev = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    feature = stddev.to(x.dtype).view(1, -1).expand(g, -1).reshape(n, 1, 1, 1)
    return torch.cat([x, feature.expand(-1, -1, h, w)], dim=1)


class Discriminator(nn.Module):
    """N×3×S×S in [-1, 1] → one logit per image, N×1. N is at most 4 or a multiple of 4."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        resolutions = [1 << bit for bit in range(config.size.bit_length() - 1, 2, -1)]
        blocks = (ResBlock(width(r), width(r // 2)) for r in resolutions)
        self.convs = nn.Sequential(ConvLayer(3, width(config.size), 1), *blocks)
        self.final_conv = ConvLayer(width(4) + 1, width(4), 3)
        self.final_linear = nn.Sequential(
            EqualLinear(width(4) * 16, width(4), activate=True), EqualLinear(width(4), 1)
        )

    @property
    def _like(self) -> Tensor:
        parameter: Tensor = self.final_linear[1].weight  # type: ignore[assignment]
        return parameter

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×1 of images N×3×S×S in [-1, 1]; a larger logit means more real.

        Raises:
            TypeError: a dtype other than the model's.
            ValueError: another shape or device, or a batch above 4 that 4 does not divide.
        """
        check_images(images, self.config, self._like)
        features = self.final_conv(minibatch_stddev(self.convs(images)))
        logits: Tensor = self.final_linear(features.flatten(1))
        return logits
