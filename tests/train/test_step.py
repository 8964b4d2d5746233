"""One iteration: its losses, gradients, updates and averages."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylemap.train import Lambdas, TrainConfig
from stylemap.train.networks import Networks
from stylemap.train.step import Features, Part, Step
from tests.helpers import goldens
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance
from tests.train import tiny_run

CASE = "full_32_8x8"
STORED_WHOLE, STORED_PART = 4096, 512
R1_UNWEIGHTED = 1 / 8  # gamma / 2 * 16 = 1
# Relative error of float32 gradients, whose few activations next to zero take the other branch of a leaky
# ReLU than in float64: see tests/model/test_training_goldens.py, which separates that from arithmetic.
ACROSS_BRANCHES = 1e-3
# Which of the iteration's optimiser steps holds the gradients of a tag.
STEPS = {"adv": [0], "w_rec": [1], "d": [2], "r1": [3], "x_rec": [4, 5], "indomain_e": [0, 1]}


@functools.cache
def golden_iteration(indomain_e: bool) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Losses and golden gradients of the five steps, all with the golden weights.

    The fifth step has two losses: ``indomain_e`` runs it with the adversarial one, and nothing else.
    """
    config = TrainConfig(
        model=goldens.config(CASE),
        batch=4,
        r1_gamma=R1_UNWEIGHTED,
        channels_last=False,
        lambdas=tiny_run.lambdas(indomain_e=1) if indomain_e else Lambdas(indomain_e=0, perceptual=0),
    )
    networks = Networks(config, tiny_run.CPU)
    networks.generator.load_state_dict(goldens.model(CASE).generator.state_dict())
    networks.encoder.load_state_dict(goldens.model(CASE).encoder.state_dict())
    networks.discriminator.load_state_dict(goldens.discriminator(CASE).state_dict())
    steps: list[dict[str, Tensor]] = []
    for name, module in (("g", networks.generator), ("e", networks.encoder), ("d", networks.discriminator)):
        networks.optimisers[name] = RecordingOptimiser(module, steps)
    part = Part(goldens.real(CASE), goldens.normal("z_train", (4, 64)))
    return Step(networks, config)([part], iteration=0), steps


class RecordingOptimiser:
    """Keeps what the goldens have of the gradients, and changes nothing."""

    def __init__(self, module: nn.Module, steps: list[dict[str, Tensor]]) -> None:
        self.module, self.steps = module, steps
        self.param_groups: list[dict[str, object]] = []
        self.keys = {name.split("/", 2)[2] for name in goldens.arrays(CASE) if name.startswith("grad/")}

    def step(self) -> None:
        named = {key: p.grad for key, p in self.module.named_parameters() if key in self.keys}
        found: dict[str, Tensor] = {}
        for key, gradient in named.items():
            if gradient is not None:
                whole = gradient.numel() <= STORED_WHOLE
                found[f"grad/{key}"] = gradient.clone() if whole else gradient.flatten()[:STORED_PART].clone()
                found[f"gradnorm/{key}"] = gradient.double().norm()
        self.steps.append(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adv", "w_rec", "d", "indomain_d", "r1", "x_rec", "indomain_e"])
def test_losses_equal_the_goldens(name: str) -> None:
    losses, _ = golden_iteration(name == "indomain_e")
    assert relative_error(losses[name], goldens.expected(CASE, f"loss/{name}")) < tolerance(
        "golden", torch.float32
    )


@pytest.mark.slow
@pytest.mark.parametrize("tag", list(STEPS))
def test_gradients_equal_the_goldens(tag: str) -> None:
    _, steps = golden_iteration(tag == "indomain_e")
    found: dict[str, Tensor] = {}
    for number in STEPS[tag]:
        found |= steps[number]
    stored = [name for name in goldens.arrays(CASE) if f"/{tag}/" in name]
    assert stored
    for name in stored:
        kind, _, key = name.split("/", 2)
        expected = goldens.expected(CASE, name)
        actual = found[f"{kind}/{key}"].reshape(expected.shape)
        assert relative_error(actual, expected) < ACROSS_BRANCHES, name


def gradients_of(config: TrainConfig, parts: list[Part]) -> list[dict[str, Tensor]]:
    networks = Networks(config, tiny_run.CPU)
    gradients = tiny_run.record_gradients(networks)
    step = Step(networks, config, Features(lambda a, b: (a - b).abs().mean((1, 2, 3))))
    step(parts, 0)
    return gradients


def test_accumulated_parts_give_the_gradients_of_the_whole() -> None:
    """Also shows that sharing G(E(x)) between steps 3 and 5, which only an undivided batch does, is exact."""
    whole = tiny_run.part(8)
    # Every second image: the groups of the minibatch standard deviation stay together.
    parts = [Part(whole.images[i::2], whole.z[i::2]) for i in range(2)]
    config = tiny_run.config()
    expected = gradients_of(config, [whole])
    actual = gradients_of(tiny_run.config(accumulate=2), parts)
    assert len(actual) == len(expected) == 6
    for a, b in zip(actual, expected, strict=True):
        assert a.keys() == b.keys()
        for key in b:
            scale = b[key].abs().max()
            # Adam's normalised updates between the steps amplify rounding.
            assert torch.allclose(a[key], b[key], rtol=0, atol=float(2e-4 * scale) + 1e-7), key


def test_r1_comes_every_n_iterations() -> None:
    config = tiny_run.config(r1_every=3)
    step = Step(Networks(config, tiny_run.CPU), config)
    assert [i for i in range(7) if "r1" in step([tiny_run.part(4)], i)] == [0, 3, 6]


def test_optimisers() -> None:
    networks = Networks(tiny_run.config(), tiny_run.CPU)
    c = 16 / 17
    settings = {name: (o.defaults["lr"], *o.defaults["betas"]) for name, o in networks.optimisers.items()}
    assert settings["g"] == settings["e"] == (0.002, 0, 0.99)
    assert settings["d"] == pytest.approx((0.002 * c, 0, 0.99**c))


def test_betas_are_set() -> None:
    config = tiny_run.config(beta1=0.5, beta2=0.999, warmup_iterations=1)
    networks = Networks(config, tiny_run.CPU)
    step = Step(networks, config)
    c = 16 / 17
    seen = []
    for iteration in range(2):
        step([tiny_run.part(4)], iteration)
        seen.append([networks.optimisers[name].param_groups[0]["betas"] for name in ("g", "e")])
    assert seen == [[(0.9, 0.999)] * 2, [(0.5, 0.999)] * 2]
    assert networks.optimisers["d"].param_groups[0]["betas"] == pytest.approx((0.5**c, 0.999**c))


def test_schedule_of_rates_and_momentum() -> None:
    config = tiny_run.config(warmup_iterations=2, decay_iterations=4, iterations=8)
    networks = Networks(config, tiny_run.CPU)
    step = Step(networks, config, Features())
    seen = []
    for iteration in range(8):
        step([tiny_run.part(4)], iteration)
        groups = {name: o.param_groups[0] for name, o in networks.optimisers.items()}
        assert groups["d"]["lr"] == pytest.approx(groups["g"]["lr"] * 16 / 17)
        assert groups["e"]["betas"] == groups["g"]["betas"]
        seen.append((groups["g"]["lr"] / 0.002, *groups["g"]["betas"]))
    rates, first, second = zip(*seen, strict=True)
    assert rates == pytest.approx((1, 1, 1, 1, 1, 0.75, 0.5, 0.25))
    assert first == (0.9, 0.9, 0, 0, 0, 0, 0, 0)
    assert set(second) == {0.99}


def test_averages() -> None:
    config = tiny_run.config(ema_decay=0.9)
    networks = Networks(config, tiny_run.CPU)
    before = copy.deepcopy(networks.g_ema)
    Step(networks, config)([tiny_run.part(4)], 1)
    for old, new, parameter in zip(
        before.parameters(), networks.g_ema.parameters(), networks.generator.parameters(), strict=True
    ):
        assert torch.allclose(new, 0.9 * old + 0.1 * parameter, atol=1e-6)


def test_buffers_are_copied_when_saving() -> None:
    model = dict(tiny_run.MODEL.to_dict(), normalize_mode="BatchNorm2d")
    config = tiny_run.config(model=type(tiny_run.MODEL).from_dict(model))
    networks = Networks(config, tiny_run.CPU)
    Step(networks, config)([tiny_run.part(4)], 1)
    key = "decoder.conv1.conv.norm.running_var"
    assert not torch.equal(networks.g_ema.state_dict()[key], networks.generator.state_dict()[key])
    state = networks.state_dict()
    assert torch.equal(state["g_ema"][key], state["generator"][key])


def test_warm_up_trains_the_autoencoder_alone() -> None:
    config = tiny_run.config(warmup_iterations=2)
    networks = Networks(config, tiny_run.CPU)
    before = copy.deepcopy([networks.mapping, networks.critic])
    step = Step(networks, config)
    assert set(step([tiny_run.part(4)], 1)) == {"x_rec"}
    for old, new in zip(before, [networks.mapping, networks.critic], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
    assert set(step([tiny_run.part(4)], 2)) == {"adv", "w_rec", "d", "indomain_d", "x_rec", "indomain_e"}


@pytest.mark.parametrize("name", ["adv", "w_rec", "d", "indomain_d", "x_rec", "indomain_e"])
def test_each_loss_alone(name: str) -> None:
    """A loss left out of the sum is not computed, and its step not done."""
    config = tiny_run.config(lambdas=tiny_run.lambdas(**{name: 1.0}), r1_gamma=0.0)
    losses = Step(Networks(config, tiny_run.CPU), config)([tiny_run.part(4)], 0)
    assert set(losses) == {name}


@pytest.mark.parametrize(
    "changes",
    [
        {"adversarial_loss": "hinge"},
        {"reconstruction_loss": "l1"},
        {"precision": "bf16"},
        {"warmup_iterations": 12, "warmup_optimiser": "muon"},
    ],
)
def test_other_recipes_learn(changes: dict[str, Any]) -> None:
    config = tiny_run.config(**changes)
    networks = Networks(config, tiny_run.CPU)
    step = Step(networks, config)
    losses = [float(step([tiny_run.part(4)], i)["x_rec"]) for i in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.dtype == torch.float32 for p in networks.generator.parameters())


def test_bf16_stays_near_float32() -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        config = tiny_run.config(precision=precision)
        losses[precision] = Step(Networks(config, tiny_run.CPU), config)([tiny_run.part(8)], 0)
    for name, value in losses["fp32"].items():
        assert float(losses["bf16"][name]) == pytest.approx(float(value), rel=0.05), name
        assert losses["bf16"][name].dtype == torch.float32


def test_classes_reach_both_networks() -> None:
    config = tiny_run.config(classes=2, class_label="glasses")
    networks = Networks(config, tiny_run.CPU)
    labels = torch.tensor([0, 1, 0, 1])
    part = tiny_run.part(4)._replace(labels=labels, sample_labels=1 - labels)
    before = copy.deepcopy(networks.state_dict())
    Step(networks, config)([part], 0)
    after = networks.state_dict()
    for name in ("g_classes", "d_classes"):
        assert not torch.equal(before[name]["weight"], after[name]["weight"])
    logits = [networks.critic(part.images, torch.full((4,), label)) for label in (0, 1)]
    assert not torch.allclose(*logits)
    stylemaps = [networks.mapping(part.z, torch.full((4,), label)) for label in (0, 1)]
    assert not torch.allclose(*stylemaps)


def test_style_loss() -> None:
    config = tiny_run.config(lambdas=tiny_run.lambdas(style=1.0), perceptual="vgg.pth")
    networks = Networks(config, tiny_run.CPU)
    features = Features(maps=lambda x: [x, x[:, :, ::2, ::2]])
    assert set(Step(networks, config, features)([tiny_run.part(4)], 0)) == {"style"}
