"""A model small enough to run many times in a test: 32 x 32 images, a stylemap of 8 x 8 x 8."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model

SIZE, CELLS, CHANNELS = 32, 8, 8
CONFIG = Config(
    size=SIZE,
    latent_channel_size=CHANNELS,
    latent_spatial_size=CELLS,
    mapping_layer_num=2,
    channel_table={4: 8, 8: 16, 16: 12, 32: 8},
)


@functools.cache
def model(dtype: torch.dtype = torch.float32) -> StyleMapGAN:
    """Shared by all tests: not to be changed."""
    return recipe_model(CONFIG, dtype)


def photos(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Smooth random images, count x 3 x 32 x 32 in [-1, 1]."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic", align_corners=True)
    return (2 * smooth - 1).clamp(-1, 1).to(dtype)


def stylemaps(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """E(photos), count x 8 x 8 x 8."""
    with torch.no_grad():
        return model(dtype).encode(photos(count, seed, dtype))
