"""Files of random weights in the layouts users have."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylemap.metrics.vgg import BLOCKS, CHANNELS


def vgg16() -> dict[str, Tensor]:
    """A state dict with torchvision's keys, its classifier left out but for one bias."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {"classifier.0.bias": torch.zeros(3)}
    previous = 3
    for position, channels in (pair for block in BLOCKS for pair in block):
        scale = (2 / (9 * previous)) ** 0.5
        state[f"features.{position}.weight"] = scale * torch.randn(
            channels, previous, 3, 3, generator=generator
        )
        state[f"features.{position}.bias"] = 0.1 * torch.randn(channels, generator=generator)
        previous = channels
    return state


def heads() -> dict[str, Tensor]:
    """Linear weights with the keys of lpips' vgg.pth."""
    generator = torch.Generator().manual_seed(1)
    return {
        f"lin{i}.model.1.weight": torch.rand(1, channels, 1, 1, generator=generator)
        for i, channels in enumerate(CHANNELS)
    }


def save(state: dict[str, Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path
