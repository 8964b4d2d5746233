"""Losses against the formulas they are named after."""

from __future__ import annotations

import math

import pytest
import torch

from stylemap.train import losses


def test_logistic() -> None:
    logits = torch.tensor([[0.0], [2.0]])
    real = (math.log(2) + math.log1p(math.exp(-2))) / 2
    fake = (math.log(2) + math.log1p(math.exp(2))) / 2
    assert float(losses.generator_adversarial(logits)) == pytest.approx(real)
    assert float(losses.discriminator_real(logits)) == pytest.approx(real)
    assert float(losses.discriminator_fake(logits)) == pytest.approx(fake)


def test_hinge() -> None:
    logits = torch.tensor([[-3.0], [0.5]])
    assert float(losses.generator_adversarial(logits, "hinge")) == 1.25
    assert float(losses.discriminator_real(logits, "hinge")) == (4 + 0.5) / 2
    assert float(losses.discriminator_fake(logits, "hinge")) == (0 + 1.5) / 2


def test_r1_of_a_known_function() -> None:
    """D(x) = a |x|^2 / 2 has the gradient a x; its penalty's derivative by a is 2 a |x|^2."""
    x = torch.arange(24, dtype=torch.float64).reshape(2, 3, 2, 2).requires_grad_(True)
    a = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    penalty = losses.r1(a * x.square().sum((1, 2, 3)) / 2, x)
    squares = float(x.detach().square().sum()) / 2
    assert float(penalty.detach()) == pytest.approx(0.25 * squares)
    penalty.backward()
    assert a.grad is not None
    assert float(a.grad) == pytest.approx(2 * 0.5 * squares)


def test_reconstruction() -> None:
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    assert float(losses.reconstruction(x, y)) == 2.5
    assert float(losses.reconstruction(x, y, "l1")) == 1.5


def test_gram() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    assert torch.equal(losses.gram(features), expected)
    difference = float((3 * expected).square().mean())
    assert float(losses.style([features], [2 * features])) == pytest.approx(difference)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    """A sum of squares that overflows float16, and steps finer than bfloat16 has."""
    x = torch.full((1, 1, 64, 64), 100, dtype=dtype)
    assert float(losses.reconstruction(x, -x)) == 40000
    assert losses.gram(x).dtype == losses.discriminator_fake(x).dtype == torch.float32


def test_heads_of_a_discriminator_count_the_same_whatever_their_size() -> None:
    heads = [torch.tensor([[2.0]]), torch.tensor([[0.0, -4.0, 1.0]])]
    assert float(losses.discriminator_real(heads, "hinge")) == pytest.approx((0 + (1 + 5 + 0) / 3) / 2)
    assert float(losses.generator_adversarial(heads, "hinge")) == pytest.approx((-2 + 1) / 2)
