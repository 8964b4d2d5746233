"""Losses, logits, R1 and gradients of all three networks (docs/network.md section 9, before any λ).

The gradient jumps where a leaky ReLU changes its branch, and of the 66 million activations of this case
about 14 are so close to zero that rounding in float32 changes their sign. That alone moves single gradients
by up to 3e-4. So float32 gradients are held to the common tolerance with the branches of the float64 run,
which isolates their arithmetic (on the reference operators), and to `ACROSS_BRANCHES` with their own.
"""

from __future__ import annotations

import copy
import functools
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from stylemap import ops
from stylemap.model.layers import BiasLeakyReLU
from stylemap.model.modulation import StyledConv
from tests.helpers import goldens
from tests.helpers.goldens import TOLERANCE, relative_error

pytestmark = pytest.mark.slow

CASE = "full_32_8x8"
FORWARD = [name for name in goldens.arrays(CASE) if name.startswith("loss/") or name.endswith("_pred")]
GRADIENTS = [name for name in goldens.arrays(CASE) if name.startswith(("grad/", "gradnorm/"))]
STORED_WHOLE, STORED_PART = 4096, 512
ACROSS_BRANCHES = 1e-3


def iteration(dtype: torch.dtype) -> dict[str, Tensor]:
    """Everything the golden case stores about one training iteration, under the same names."""
    model = copy.deepcopy(goldens.model(CASE, dtype)).train().requires_grad_(True)
    discriminator = copy.deepcopy(goldens.discriminator(CASE, dtype)).train().requires_grad_(True)
    real = goldens.real(CASE, dtype)
    z = goldens.normal("z_train", (4, 64), dtype)
    out: dict[str, Tensor] = {}

    stylemap = model.map(z)
    fake = model.decode(stylemap)
    out["fake_pred"] = discriminator(fake)
    out["loss/adv"] = F.softplus(-out["fake_pred"]).mean()
    store_gradients(out, "adv", out["loss/adv"], model.generator)

    out["loss/w_rec"] = F.mse_loss(model.encode(fake.detach()), stylemap.detach())
    store_gradients(out, "w_rec", out["loss/w_rec"], model.encoder)

    reconstruction = model(real)
    out["real_pred"] = discriminator(real)
    out["loss/d"] = F.softplus(-out["real_pred"]).mean() + F.softplus(discriminator(fake.detach())).mean()
    out["loss/indomain_d"] = F.softplus(discriminator(reconstruction.detach())).mean()
    store_gradients(out, "d", out["loss/d"] + out["loss/indomain_d"], discriminator)

    image = real.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
    out["loss/r1"] = gradient.square().sum((1, 2, 3)).mean()
    store_gradients(out, "r1", out["loss/r1"], discriminator)

    out["loss/x_rec"] = F.mse_loss(reconstruction, real)
    store_gradients(out, "x_rec", out["loss/x_rec"], model.generator, model.encoder)
    out["loss/indomain_e"] = F.softplus(-discriminator(reconstruction)).mean()
    store_gradients(out, "indomain_e", out["loss/indomain_e"], model.encoder)
    return {name: value.detach() for name, value in out.items()}


def store_gradients(out: dict[str, Tensor], tag: str, loss: Tensor, *modules: nn.Module) -> None:
    """Add grad/TAG/KEY and gradnorm/TAG/KEY for the parameters the golden case names."""
    named = {
        key: p
        for module in modules
        for key, p in module.named_parameters()
        if f"grad/{tag}/{key}" in GRADIENTS
    }
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True)
    for key, gradient in zip(named, gradients, strict=True):
        whole = gradient.numel() <= STORED_WHOLE
        out[f"grad/{tag}/{key}"] = gradient if whole else gradient.flatten()[:STORED_PART]
        out[f"gradnorm/{tag}/{key}"] = gradient.double().norm()


@functools.cache
def in_float64() -> tuple[dict[str, Tensor], list[Tensor]]:
    """The results, and where the leaky ReLUs were positive, in the order of their calls."""
    positive: list[Tensor] = []

    def record(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, BiasLeakyReLU | StyledConv) or getattr(module, "activate", None) is True:
            positive.append(output > 0)

    hook = register_module_forward_hook(record)
    try:
        return iteration(torch.float64), positive
    finally:
        hook.remove()


@functools.cache
def in_float32_with_float64_branches() -> dict[str, Tensor]:
    branches = iter(in_float64()[1])

    def bias_act(x: Tensor, bias: Tensor | None, negative_slope: float, gain: float) -> Tensor:
        if bias is not None:
            x = x + bias.view(1, -1, *([1] * (x.ndim - 2)))
        return torch.where(next(branches), x, x * negative_slope) * gain

    with ops.backend("reference"), mock.patch.object(ops.reference, "bias_act", bias_act):
        results = iteration(torch.float32)
    assert next(branches, None) is None
    return results


@functools.cache
def in_float32() -> dict[str, Tensor]:
    return iteration(torch.float32)


@pytest.mark.parametrize("name", FORWARD + GRADIENTS)
def test_float64(name: str) -> None:
    actual = in_float64()[0][name]
    assert actual.dtype == torch.float64
    assert relative_error(actual, goldens.expected(CASE, name)) < TOLERANCE[torch.float64]


@pytest.mark.parametrize("name", FORWARD + GRADIENTS)
def test_float32_with_float64_branches(name: str) -> None:
    actual = in_float32_with_float64_branches()[name]
    assert relative_error(actual, goldens.expected(CASE, name)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("name", FORWARD + GRADIENTS)
def test_float32(name: str) -> None:
    limit = TOLERANCE[torch.float32] if name in FORWARD else ACROSS_BRANCHES
    assert relative_error(in_float32()[name], goldens.expected(CASE, name)) < limit
