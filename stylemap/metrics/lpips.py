"""LPIPS (Zhang et al. 2018, version 0.1 on VGG-16), with weights from files the user names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from stylemap.metrics import vgg
from stylemap.metrics.vgg import CHANNELS, VGG16
from stylemap.metrics.weights import read_tensors

WHERE = "the linear weights of LPIPS 0.1 on VGG-16 (lpips/weights/v0.1/vgg.pth of the lpips package)"


class LPIPS(nn.Module):
    """Distance of images N x 3 x H x W in [-1, 1]: N values >= 0, differentiable, in float32.

    Feature maps are normalised over their channels; their squared differences, weighted per channel and
    averaged over positions, are summed over the five maps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGG16()
        self.heads = nn.ParameterList(torch.zeros(1, channels, 1, 1) for channels in CHANNELS)
        # The published inputs are scaled by these constants, which are not quite ImageNet's.
        self.register_buffer(
            "shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    shift: Tensor
    scale: Tensor

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """N distances of images N x 3 x H x W in [-1, 1].

        Raises:
            ValueError: another shape, or two shapes.
        """
        if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"images must be N x 3 x H x W of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        total = torch.zeros(len(x), device=x.device)
        for a, b, head in zip(self.maps(x), self.maps(y), self.heads, strict=True):
            difference = (_unit(a) - _unit(b)).square()
            total = total + (difference * head).sum(1).mean((1, 2))
        return total

    def maps(self, images: Tensor) -> list[Tensor]:
        """The five feature maps; those of the style loss too."""
        maps: list[Tensor] = self.vgg((images.float() - self.shift) / self.scale)
        return maps


def load_lpips(vgg_file: str | Path, heads_file: str | Path = "") -> LPIPS:
    """From torchvision's VGG-16 weights and LPIPS' linear weights.

    heads_file: where they are; none for a ``vgg_file`` that has both (a saved ``lpips.LPIPS(net="vgg")``).

    Raises FileNotFoundError or ValueError, saying which file is wanted and where it can be had.
    """
    network = LPIPS()
    tensors = read_tensors(vgg_file, vgg.WHERE)
    network.vgg.load(tensors, str(vgg_file))
    heads = read_tensors(heads_file, WHERE) if heads_file else tensors
    name = str(heads_file or vgg_file)
    for number, parameter in enumerate(network.heads):
        key = f"lin{number}.model.1.weight"
        if key not in heads:
            hint = "" if heads_file else "; name their file as lpips_heads"
            raise ValueError(f"{name} has no {key}: LPIPS also needs {WHERE}{hint}")
        if heads[key].shape != parameter.shape:
            raise ValueError(f"{name}: {key} is {tuple(heads[key].shape)}, expected {tuple(parameter.shape)}")
        parameter.data.copy_(heads[key])
    return network


def _unit(features: Tensor) -> Tensor:
    """Length 1 over the channels, as published: the epsilon is added to the length."""
    # The lower bound keeps the root of 0 differentiable, and what it divides is then 0.
    length = features.square().sum(1, keepdim=True).clamp(min=1e-20).sqrt()
    return features / (length + 1e-10)
