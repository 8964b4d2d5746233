"""The mapping stage: a GAN on stylemaps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap.train import TrainConfig, train
from stylemap.train.latent_gan import MappingStep, energy_distance
from stylemap.train.mapping_start import before_activation
from stylemap.train.networks import Networks
from tests.train import tiny_run


def mapping(start: Path | str, **changes: object) -> TrainConfig:
    values = {
        "stage": "mapping",
        "start_from": str(start),
        "mapping_images": 24,
        "batch": 32,
        "iterations": 6,
    }
    return tiny_run.config(**(values | {"learning_rate": 1e-3, "r1_gamma": 1.0, "r1_every": 2} | changes))


def stylemaps(count: int = 512) -> torch.Tensor:
    """Two clusters, which no Gaussian resembles, as an encoder would give them."""
    generator = torch.Generator().manual_seed(3)
    shape = tiny_run.MODEL.stylemap_shape
    centre = torch.randn(shape, generator=generator)
    side = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, -1.0, 1.0)
    values = side * centre + 0.2 * torch.randn(count, *shape, generator=generator)
    return torch.nn.functional.leaky_relu(values, 0.2) * 2**0.5


def step_after(iterations: int) -> tuple[MappingStep, Networks, torch.Tensor]:
    config = mapping("unused", ema_decay=0.9, batch=128)
    networks, real = Networks(config, tiny_run.CPU), stylemaps()
    step = MappingStep(networks, real, config)
    for iteration in range(iterations):
        step([], iteration)
    step.write()
    return step, networks, before_activation(real.flatten(1))


def distance(networks: Networks, real: torch.Tensor) -> float:
    z = torch.randn(512, tiny_run.MODEL.latent_channel_size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        fake = before_activation(networks.g_ema.mapping_z(z).flatten(1))
    return float(energy_distance(fake, real))


def test_samples_come_closer_to_the_data_than_the_gaussian_start() -> None:
    _, start, real = step_after(0)
    _, trained, _ = step_after(300)
    assert distance(trained, real) < 0.6 * distance(start, real)


def test_the_start_has_the_datas_mean_and_spread() -> None:
    _, networks, real = step_after(0)
    z = torch.randn(4096, tiny_run.MODEL.latent_channel_size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        fake = before_activation(networks.g_ema.mapping_z(z).flatten(1))
    assert float((fake.mean(0) - real.mean(0)).norm() / real.std(0).norm()) < 0.1
    assert float(fake.std(0).norm() / real.std(0).norm()) == pytest.approx(1, abs=0.15)


def test_only_the_mapping_network_changes_and_a_run_continues_bit_for_bit(tmp_path: Path) -> None:
    base = train(tiny_run.config(iterations=1), tmp_path / "base")
    whole = train(mapping(base), tmp_path / "whole")
    train(mapping(base, iterations=2), tmp_path / "parts")
    parts = train(mapping(base), tmp_path / "parts", resume=True)
    first, second, before = (torch.load(path, weights_only=False) for path in (whole, parts, base))
    assert all(torch.equal(value, second["g_ema"][key]) for key, value in first["g_ema"].items())
    changed = {key for key, value in before["g_ema"].items() if not torch.equal(value, first["g_ema"][key])}
    assert changed
    assert all(key.startswith("mapping_z.") for key in changed)


def test_energy_distance_is_zero_for_one_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(800, 5, generator=generator) for _ in range(2))
    assert abs(float(energy_distance(x, y))) < 0.02
    assert float(energy_distance(x, y + 1)) > 0.2


def test_it_wants_a_model_to_start_from_and_no_classes() -> None:
    with pytest.raises(ValueError, match="start_from"):
        tiny_run.config(stage="mapping")
    with pytest.raises(ValueError, match="unconditional"):
        mapping("x", classes=2)
