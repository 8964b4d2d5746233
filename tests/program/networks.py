"""Small models of every configuration, in float64."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from stylemap.config import NORMALIZE_MODES, Config
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from tests.helpers import tiny

TABLE = {4: 8, 8: 16, 16: 24, 32: 8}  # widths that 8 groups divide
CONFIGS = [
    dataclasses.replace(
        tiny.CONFIG, normalize_mode=mode, small_generator=small, channel_table=TABLE, mapping_layer_num=3
    )
    for mode in NORMALIZE_MODES
    for small in (False, True)
] + [Config(size=16, latent_spatial_size=4, latent_channel_size=8, channel_table={4: 16, 8: 8, 16: 8})]


def name_of(config: Config) -> str:
    return f"{config.normalize_mode}-{'small' if config.small_generator else 'full'}-{config.size}"


def model_of(config: Config) -> StyleMapGAN:
    """Running statistics of BatchNorm2d are not 0 and 1."""
    model = recipe_model(config, torch.float64)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.2, 3, generator=generator)
    return model


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
