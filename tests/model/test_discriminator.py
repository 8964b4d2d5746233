"""Discriminator and its minibatch standard deviation (docs/network.md section 6)."""

from __future__ import annotations

import pytest
import torch

from stylemap.model.discriminator import minibatch_stddev
from tests.helpers import small

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_minibatch_stddev(n: int) -> None:
    x = torch.randn(n, 3, 4, 5, dtype=torch.float64)
    y = minibatch_stddev(x)
    assert torch.equal(y[:, :3], x)
    g = min(n, 4)
    for i in range(n):
        members = x[i % (n // g) :: n // g]
        expected = ((members - members.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[i, 3], expected.expand(4, 5), rtol=1e-12, atol=0)


def test_half_precision_keeps_the_epsilon() -> None:
    """1e-8 is 0 in float16, where the gradient of the square root would be infinite."""
    x = torch.zeros(2, 3, 4, 4, dtype=torch.float16, requires_grad=True)
    minibatch_stddev(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("n", [0, 5, 6, 7, 9])
def test_batches_that_do_not_group(n: int) -> None:
    with pytest.raises(ValueError, match=f"a batch below 4 or a multiple of 4, got {n}"):
        minibatch_stddev(torch.zeros(n, 3, 4, 4))
    with pytest.raises(ValueError, match="a multiple of 4"):
        small.discriminator()(torch.zeros(n, 3, 16, 16))


def test_groups_are_independent_of_other_groups() -> None:
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    discriminator = small.discriminator()
    whole = discriminator(images)
    assert whole.shape == (8, 1)
    torch.testing.assert_close(whole[::2], discriminator(images[::2]))


def test_refuses_other_images() -> None:
    discriminator = small.discriminator()
    with pytest.raises(ValueError, match="images: expected shape N×3×16×16, got 4×3×32×32"):
        discriminator(torch.zeros(4, 3, 32, 32))
    with pytest.raises(TypeError, match="images: expected float32, as the model, got uint8"):
        discriminator(torch.zeros(4, 3, 16, 16, dtype=torch.uint8))


def test_r1_gradients_reach_every_parameter() -> None:
    discriminator = small.discriminator().requires_grad_(True)
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        if name != "final_linear.1.bias":  # an additive constant, which no input gradient depends on
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0 or name.endswith(".bias"), name
