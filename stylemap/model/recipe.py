"""Deterministic weights for tests and demos: every value follows from its key and shape alone.

A network with these weights is untrained: it turns an image into a coloured texture, without overflow.
NumPy's legacy generator is frozen, so the values are the same everywhere.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import nn

from stylemap.config import Config
from stylemap.model.discriminator import Discriminator
from stylemap.model.stylemapgan import StyleMapGAN

# Entries that the architecture defines: blur filters and the running statistics of BatchNorm2d.
_GIVEN = ("kernel", "running_mean", "running_var", "num_batches_tracked")


def recipe_tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The float64 values of one entry. ``key`` has the prefix ``encoder.`` or ``discriminator.``, or none."""
    state = np.random.RandomState(zlib.crc32(key.encode()))
    values = torch.from_numpy(state.standard_normal(math.prod(shape))).view(shape)
    if key.endswith("gamma.bias"):
        values = values.mul_(0.1).add_(1)
    elif key.endswith("bias"):
        values = values.mul_(0.1)
    return values.mul_(100) if key.startswith("mapping_z.") else values


@torch.no_grad()
def fill_with_recipe(module: nn.Module, prefix: str = "") -> None:
    """Fill a Generator (prefix ""), Encoder ("encoder.") or Discriminator ("discriminator.") in place."""
    for key, tensor in module.state_dict().items():
        if not key.endswith(_GIVEN):
            tensor.copy_(recipe_tensor(prefix + key, tuple(tensor.shape)))


def recipe_model(config: Config, dtype: torch.dtype = torch.float32) -> StyleMapGAN:
    """A StyleMapGAN of these weights, in evaluation mode on the CPU."""
    model = StyleMapGAN(config).to(dtype)
    fill_with_recipe(model.generator)
    fill_with_recipe(model.encoder, "encoder.")
    return model.eval().requires_grad_(False)


def recipe_discriminator(config: Config, dtype: torch.dtype = torch.float32) -> Discriminator:
    """A discriminator of these weights, in evaluation mode on the CPU."""
    discriminator = Discriminator(config).to(dtype)
    fill_with_recipe(discriminator, "discriminator.")
    return discriminator.eval().requires_grad_(False)
