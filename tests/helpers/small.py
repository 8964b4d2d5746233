"""A StyleMapGAN small enough to be built, saved and damaged many times in one test session."""

from __future__ import annotations

import dataclasses
from typing import Any

from stylemap.config import Config
from stylemap.model import Discriminator, StyleMapGAN
from stylemap.model.recipe import recipe_discriminator, recipe_model

CONFIG = Config(
    size=16,
    latent_channel_size=6,
    latent_spatial_size=4,
    mapping_layer_num=2,
    channel_table={4: 16, 8: 8, 16: 8},
)


def config(**changes: Any) -> Config:
    """`CONFIG` with some fields changed."""
    return dataclasses.replace(CONFIG, **changes)


def model(**changes: Any) -> StyleMapGAN:
    """A new model, so that the test may change it."""
    return recipe_model(config(**changes))


def discriminator(**changes: Any) -> Discriminator:
    return recipe_discriminator(config(**changes))
