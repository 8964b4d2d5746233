"""A training run small enough for tests: 16 x 16 images, a few channels."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.train import Lambdas, TrainConfig
from stylemap.train.networks import Networks
from stylemap.train.step import Part

MODEL = Config(
    size=16,
    latent_channel_size=6,
    latent_spatial_size=4,
    small_generator=True,
    mapping_layer_num=2,
    channel_table={4: 8, 8: 8, 16: 8},
)
CPU = torch.device("cpu")


def config(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "model": MODEL,
        "count": 24,
        "iterations": 6,
        "batch": 8,
        "threads": 1,
        "device": "cpu",
        "log_every": 1,
        "sample_every": 0,
        "ema_rampup": False,
        "checkpoint_every": 2,
    }
    return TrainConfig(**(values | changes))


def lambdas(**changes: float) -> Lambdas:
    """All 0 but the given ones."""
    zero = {field.name: 0.0 for field in dataclasses.fields(Lambdas)}
    return Lambdas(**(zero | changes))


def part(count: int = 8, seed: int = 0) -> Part:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, MODEL.size, MODEL.size, generator=generator) * 2 - 1
    return Part(images, torch.randn(count, MODEL.latent_channel_size, generator=generator))


def record_gradients(networks: Networks) -> list[dict[str, Tensor]]:
    """A list that gets every gradient an optimiser is about to use: one entry per optimiser step."""
    taken: list[dict[str, Tensor]] = []
    named = {
        "g": dict(networks.generator.named_parameters()),
        "e": dict(networks.encoder.named_parameters()),
        "d": dict(networks.discriminator.named_parameters()),
    }
    for name, optimiser in networks.optimisers.items():

        def note(*_: Any, name: str = name) -> None:
            gradients = {key: p.grad.clone() for key, p in named[name].items() if p.grad is not None}
            taken.append({f"{name}/{key}": value for key, value in gradients.items()})

        optimiser.register_step_pre_hook(note)
    return taken
