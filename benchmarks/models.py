"""The models that are timed, by name. Without a trained one, weights are a fixed recipe's: as fast."""

from __future__ import annotations

import io

import torch
from torch import Tensor

import stylemap
from stylemap import images
from stylemap.assets import demo_model
from stylemap.config import Config
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model

#: "demo" is the model of stylemap/assets/demo.yaml; "tiny" is for tests.
CONFIGS: dict[str, Config] = {
    "demo": Config(
        size=128, small_generator=True, channel_table={128: 16, 64: 32, 32: 64, 16: 128, 8: 128, 4: 128}
    ),
    "full": Config(),
    "small": Config(small_generator=True),
    "1024": Config(size=1024, latent_spatial_size=16, small_generator=True),
    "tiny": Config(size=32, latent_channel_size=8, channel_table={4: 8, 8: 16, 16: 16, 32: 8}),
}
TITLES = {
    "demo": "demo 128",
    "full": "256 full",
    "small": "256 small",
    "1024": "1024 small",
    "tiny": "32 tiny",
}
#: How many photos a run works with: as many users as there are share them.
PHOTOS = 4


def load(name: str) -> StyleMapGAN:
    """A model on the CPU in float32, without gradients.

    Raises:
        ValueError: no such name.
    """
    if name not in CONFIGS:
        raise ValueError(f"no model {name!r}: choose from {', '.join(CONFIGS)}")
    path = demo_model() if name == "demo" else None
    return stylemap.load(path) if path else recipe_model(CONFIGS[name])


def photos(size: int) -> Tensor:
    """Smooth random pictures PHOTOS×3×S×S in [-1, 1], the same everywhere."""
    generator = torch.Generator().manual_seed(11)
    coarse = torch.rand(PHOTOS, 3, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    grain = torch.rand(PHOTOS, 3, size, size, generator=generator) - 0.5
    return (2 * smooth - 1 + 0.2 * grain).clamp(-1, 1)


def jpeg(photo: Tensor) -> bytes:
    """A photo 3×S×S as a file that a person would open: JPEG, twice as wide and high."""
    picture = images.to_image(photo)
    file = io.BytesIO()
    picture.resize((2 * picture.width, 2 * picture.height)).save(file, format="JPEG", quality=92)
    return file.getvalue()


def opened(data: bytes, size: int) -> Tensor:
    """The photo in a file as the network takes it, 1×3×S×S."""
    return images.to_tensor(images.fit_square(images.open_rgb(io.BytesIO(data)), size))[None]
