"""How a run compares images beyond pixels, with the files that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from stylemap.metrics.efficientnet import EfficientNetDistance
from stylemap.metrics.lpips import load_lpips
from stylemap.metrics.vgg import VGG16, WHERE, normalise
from stylemap.metrics.weights import read_tensors
from stylemap.perceptual import FeatureDistance
from stylemap.train.config import TrainConfig
from stylemap.train.step import Features

_HEAD = "lin0.model.1.weight"


class VGGDistance(nn.Module):
    """Mean absolute difference of VGG-16's feature maps, averaged over the last ReLU of its five blocks.

    No learned weights of channels, so this is not LPIPS. N values for N images N x 3 x H x W in [-1, 1].
    """

    def __init__(self, network: VGG16) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(self.maps(images), self.maps(targets), strict=True)
        return torch.stack([(a - b).abs().mean((1, 2, 3)) for a, b in pairs]).mean(0)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The five feature maps, in float32."""
        maps: list[Tensor] = self.network(normalise(images.float()))
        return maps


def make_features(
    config: TrainConfig, device: torch.device, calibration: Callable[[], Tensor] | None = None
) -> Features:
    """How images are compared: without weights, by EfficientNet-Lite0, or where the configuration names a
    file of VGG-16's weights by its plain features, or by LPIPS where that file or lpips_heads has its heads.

    calibration: gives real images N x 3 x S x S in [-1, 1] that scale EfficientNet's channels; without it
        they count as they are.

    Raises FileNotFoundError, ModuleNotFoundError or ValueError saying what is wanted and where it can be had.
    """
    weights = config.lambdas
    efficientnet = None
    if weights.efficientnet or weights.local_efficientnet or config.perceptual == "efficientnet":
        efficientnet = EfficientNetDistance().to(device)
        if calibration is not None:
            efficientnet.calibrate(calibration())
    if config.perceptual == "efficientnet":
        assert efficientnet is not None
        return Features(efficientnet, efficientnet, efficientnet.network)
    if config.perceptual == "features":
        return Features(FeatureDistance().to(device), efficientnet)
    if not (weights.perceptual or weights.style):
        return Features(None, efficientnet)
    tensors = read_tensors(config.perceptual, WHERE)
    if config.lpips_heads or _HEAD in tensors:
        lpips = load_lpips(config.perceptual, config.lpips_heads).to(device)
        return Features(lpips, efficientnet, partial(_maps, lpips.vgg))
    distance = VGGDistance(VGG16().load(tensors, config.perceptual)).to(device)
    return Features(distance if weights.perceptual else None, efficientnet, distance.maps)


def _maps(network: VGG16, images: Tensor) -> Sequence[Tensor]:
    maps: list[Tensor] = network(normalise(images))
    return maps
