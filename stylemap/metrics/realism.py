"""How much images look like the data: features' statistics, sharpness, seams. No download is needed.

"Fréchet distance (EfficientNet-Lite0)" is FID's formula on other features: its values are not FIDs and are
comparable among themselves alone. It shares its network with `EfficientNetDistance` and with the projected
discriminator, so it favours models trained with those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.metrics.efficientnet import EfficientNetLite0, load_efficientnet
from stylemap.metrics.fid import Gaussian, gaussian

POOLED = (2, 4, 7, 10)
BAND = 6  # pixels to either side of a mask's border, in images of 128

_LUMINANCE = (0.299, 0.587, 0.114)
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


class Statistics:
    """Takes images N x 3 x S x S in [-1, 1]; gives their features' Gaussian and their Laplacian energy."""

    def __init__(self, network: EfficientNetLite0 | None = None, device: torch.device | str = "cpu") -> None:
        self.network = (load_efficientnet(POOLED) if network is None else network).to(device)

    @torch.no_grad()
    def __call__(self, batches: Iterable[Tensor]) -> Looks:
        """Of all batches together. Images are clipped to [-1, 1], as they are when they are saved."""
        found = Looks()
        for images in batches:
            images = images.float().clamp(-1, 1)
            pooled = [maps.mean((2, 3)) for maps in self.network(images)]
            found.features.append(torch.cat(pooled, 1).cpu())
            found.energies.append(laplacian_energy(images).cpu())
        return found


@dataclass
class Looks:
    """features: N x D a batch. energies: N a batch."""

    features: list[Tensor] = field(default_factory=list)
    energies: list[Tensor] = field(default_factory=list)

    @property
    def gaussian(self) -> Gaussian:
        """Of all features."""
        return gaussian(self.features)

    @property
    def energy(self) -> float:
        """Mean over all images."""
        return float(torch.cat(self.energies).double().mean())


def laplacian_energy(images: Tensor) -> Tensor:
    """N values: mean square of the luminance's Laplacian, a measure of sharpness (and of noise)."""
    luminance = torch.einsum("c,nchw->nhw", images.new_tensor(_LUMINANCE), images)[:, None]
    response = F.conv2d(luminance, images.new_tensor(_LAPLACIAN)[None, None])
    return response.square().mean((1, 2, 3))


def border_band(mask: Tensor) -> Tensor:
    """bool N x 1 x S x S: pixels within `BAND` (scaled to S) of the border of a mask of that shape."""
    reach = max(1, round(BAND * mask.shape[-1] / 128))
    both = torch.cat([mask, ~mask], 1).float()
    return F.max_pool2d(both, 2 * reach + 1, stride=1, padding=reach).prod(1, keepdim=True) > 0
