"""A discriminator on frozen features (Sauer et al. 2021, "Projected GANs Converge Faster").

Real and generated images pass through EfficientNet-Lite0, which is never trained. Its maps at four
resolutions are normalised and mixed across channels by fixed random 1 x 1 convolutions. A small head per map
tells real patches from generated ones. In short runs, where a discriminator of pixels stays at chance, this
one separates the two within some ten iterations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylemap.metrics.efficientnet import EfficientNetLite0, channels, load_efficientnet

BLOCKS = (0, 2, 4, 10)
_MIXED, _WIDTH = 64, 64
_HALVINGS = (2, 1, 1, 0)  # of each head: patches of similar extent in the image for every map
_SEED = 7  # of the fixed mixing, which is part of the discriminator's definition


class Head(nn.Module):
    """Maps N x C x H x W to logits of their patches, N x 1 x h x w. Every convolution has spectral norm 1."""

    def __init__(self, inputs: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(inputs, _WIDTH, 3, padding=1)), nn.LeakyReLU(0.2)]
        for _ in range(halvings):
            layers += [spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(_WIDTH, 1, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


class ProjectedCritic(nn.Module):
    """Images N x 3 x S x S in [-1, 1] to the logits of their patches: one N x P tensor per head.

    Only the heads have parameters. `calibrate` before the first use.
    """

    def __init__(self, network: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.network = load_efficientnet(BLOCKS) if network is None else network
        random = torch.Generator().manual_seed(_SEED)
        for index, block in enumerate(self.network.wanted):
            count = channels(block)
            mixing = torch.randn(_MIXED, count, 1, 1, generator=random) / count**0.5
            self.register_buffer(f"mixing_{index}", mixing)
            self.register_buffer(f"mean_{index}", torch.zeros(1, count, 1, 1))
            self.register_buffer(f"gain_{index}", torch.ones(1, count, 1, 1))
        self.heads = nn.ModuleList(Head(_MIXED, halvings) for halvings in _HALVINGS)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Normalises every channel of the features by its mean and deviation over real images."""
        for index, maps in enumerate(self.network(images)):
            self.get_buffer(f"mean_{index}").copy_(maps.mean((0, 2, 3), keepdim=True))
            deviation = maps.std((0, 2, 3), keepdim=True).clamp(min=1e-3)
            self.get_buffer(f"gain_{index}").copy_(1 / deviation)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [
            head(self._mix(index, maps)).flatten(1)
            for index, (head, maps) in enumerate(zip(self.heads, self.network(images), strict=True))
        ]

    def _mix(self, index: int, maps: Tensor) -> Tensor:
        mean, gain = self.get_buffer(f"mean_{index}"), self.get_buffer(f"gain_{index}")
        return F.conv2d((maps - mean) * gain, self.get_buffer(f"mixing_{index}"))
