"""Muon in the warm-up: which weights it moves and how, that they stay one with the network, and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap.train import train
from stylemap.train.networks import Networks
from stylemap.train.step import Step
from tests.train import tiny_run
from tests.train.test_loop import assert_same


@pytest.mark.parametrize("channels_last", [False, True])
def test_convolutions_take_orthogonal_steps(channels_last: bool) -> None:
    config = tiny_run.config(warmup_iterations=9, warmup_optimiser="muon", channels_last=channels_last)
    networks = Networks(config, tiny_run.CPU)
    weight = networks.encoder.get_parameter("convs.0.conv1.0.weight")
    constant = networks.generator.get_parameter("decoder.input.input")
    before, constant_before = weight.detach().clone(), constant.detach().clone()
    Step(networks, config)([tiny_run.part(4)], 0)
    moved = (weight - before).detach().flatten(1).double()
    singular = torch.linalg.svdvals(moved)
    # Newton and Schulz's steps leave singular values within about a third of each other.
    assert singular.max() < 2.2 * singular.min()
    size = float(moved.square().mean().sqrt()) / config.learning_rate
    assert size == pytest.approx(0.2 * 4, rel=0.3)
    # What is no convolution is Adam's: its first step moves every entry by the learning rate.
    steps = (constant - constant_before).detach().abs()
    assert float(steps.max()) == pytest.approx(config.learning_rate, rel=0.05)


def test_adam_alone_after_the_warm_up() -> None:
    config = tiny_run.config(warmup_iterations=1, warmup_optimiser="muon")
    networks = Networks(config, tiny_run.CPU)
    step = Step(networks, config)
    step([tiny_run.part(4)], 0)
    muon = networks.optimisers["muon"]
    momentum = [state["momentum_buffer"].clone() for state in muon.state.values()]
    weight = networks.encoder.get_parameter("convs.0.conv1.0.weight")
    before = weight.detach().clone()
    step([tiny_run.part(4)], 1)
    assert all(
        torch.equal(a, s["momentum_buffer"]) for a, s in zip(momentum, muon.state.values(), strict=True)
    )
    assert not torch.equal(weight, before)


def test_a_resumed_run_is_the_unbroken_one(tmp_path: Path) -> None:
    config = {"warmup_iterations": 4, "warmup_optimiser": "muon"}
    train(tiny_run.config(iterations=3, **config), tmp_path / "broken")
    broken = train(tiny_run.config(iterations=6, **config), tmp_path / "broken", resume=True)
    whole = train(tiny_run.config(iterations=6, **config), tmp_path / "whole")
    assert_same(torch.load(broken, weights_only=False), torch.load(whole, weights_only=False))
