"""Training with the projected discriminator, EfficientNet's features, and edits shown to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import stylemap
from stylemap.train import TrainConfig, train
from stylemap.train.projected import BLOCKS, ProjectedCritic
from tests.train import tiny_run

LAMBDAS = tiny_run.lambdas(
    adv=0.02, d=1, indomain_d=0.3, local_d=0.3, indomain_e=0.02, local_e=0.02, x_rec=5,
    local_src=2, local_ref=1, efficientnet=0.5, local_efficientnet=0.25,
)  # fmt: skip


def projected(**changes: object) -> TrainConfig:
    values = {"discriminator": "projected", "adversarial_loss": "hinge", "freeze_mapping": True}
    return tiny_run.config(**(values | {"lambdas": LAMBDAS, "iterations": 4} | changes))


def test_it_learns_to_tell_two_kinds_of_images_apart() -> None:
    torch.manual_seed(0)
    critic = ProjectedCritic()
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    fake = torch.nn.functional.avg_pool2d(real, 5, stride=1, padding=2)
    critic.calibrate(real)
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.002, betas=(0.0, 0.99))
    for _ in range(15):
        loss = sum(
            torch.relu(1 - a).mean() + torch.relu(1 + b).mean() for a, b in zip(critic(real), critic(fake))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert [len(BLOCKS)] == [len(critic(real))]
    assert all(a.mean() > b.mean() + 0.3 for a, b in zip(critic(real)[:2], critic(fake)[:2]))


def test_features_stay_frozen_and_out_of_the_checkpoint() -> None:
    critic = ProjectedCritic()
    assert all(not name.startswith("network") for name, _ in critic.named_parameters())
    assert all(not name.startswith("network") for name in critic.state_dict())


def test_a_run_continues_bit_for_bit(tmp_path: Path) -> None:
    whole = train(projected(), tmp_path / "whole")
    train(projected(iterations=2), tmp_path / "parts")
    parts = train(projected(), tmp_path / "parts", resume=True)
    states = [torch.load(path, weights_only=False) for path in (whole, parts)]
    for name in ("generator", "encoder", "g_ema", "projected_discriminator"):
        first, second = (state[name] for state in states)
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert "discriminator" not in states[0]
    assert stylemap.load(whole).config == tiny_run.MODEL


def test_every_loss_is_logged(tmp_path: Path) -> None:
    train(projected(iterations=1), tmp_path)
    text = (tmp_path / "losses.jsonl").read_text()
    assert all(f'"{name}"' in text for name, weight in vars(LAMBDAS).items() if weight)


def test_a_frozen_mapping_network_does_not_move(tmp_path: Path) -> None:
    path = train(projected(), tmp_path)
    from stylemap.train.networks import Networks

    start = Networks(projected(), tiny_run.CPU).generator.mapping_z.state_dict()
    state = torch.load(path, weights_only=False)["generator"]
    assert all(torch.equal(state[f"mapping_z.{key}"], value) for key, value in start.items())


def test_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="no classes"):
        projected(classes=2, class_label="smile")


def test_cosine_and_linear_decay_start_and_end_alike() -> None:
    from stylemap.train.networks import Networks
    from stylemap.train.step import Step

    for decay, middle in (("linear", 0.25), ("cosine", 0.1464466)):
        config = projected(decay=decay, decay_iterations=4)
        step = Step(Networks(config, tiny_run.CPU), config)
        assert [step._rate(i) for i in (0, 2, 3, 4)] == pytest.approx([1, 0.5, middle, 0])
