"""Losses, logits, R1 and gradients of all three networks (docs/network.md section 9, before any λ).

The gradient jumps where a leaky ReLU changes its branch, and of the 66 million activations of this case
about 14 are so close to zero that rounding in float32 changes their sign. That alone moves single gradients
by up to 3e-4. So float32 gradients are held to the common tolerance with the branches of the float64 run,
which isolates their arithmetic (on the reference operators), and to a wider one with their own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from stylemap import ops
from stylemap.model import Discriminator, StyleMapGAN
from stylemap.model.layers import BiasLeakyReLU
from stylemap.model.modulation import StyledConv
from tests.helpers import goldens
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.slow

CASE = "full_32_8x8"
FORWARD = [name for name in goldens.arrays(CASE) if name.startswith("loss/") or name.endswith("_pred")]
GRADIENTS = [name for name in goldens.arrays(CASE) if name.startswith(("grad/", "gradnorm/"))]
STORED_WHOLE, STORED_PART = 4096, 512


def iteration(dtype: torch.dtype) -> dict[str, Tensor]:
    """Everything the golden case stores about one training iteration, under the same names.

    No weights change, so the losses are taken in an order in which only one graph is alive at a time.
    """
    model, discriminator = goldens.model(CASE, dtype), goldens.discriminator(CASE, dtype)
    real = goldens.real(CASE, dtype)
    out: dict[str, Tensor] = {}
    with _training(model, discriminator):
        stylemap, fake = _samples(out, model, discriminator, goldens.normal("z_train", (4, 64), dtype))
        out["loss/w_rec"] = F.mse_loss(model.encode(fake), stylemap)
        store_gradients(out, "w_rec", out["loss/w_rec"], model.encoder)
        reconstruction = _reconstructions(out, model, discriminator, real)
        _discriminator(out, discriminator, real, fake, reconstruction)
        _r1(out, discriminator, real)
    return {name: value.detach() for name, value in out.items()}


def _samples(
    out: dict[str, Tensor], model: StyleMapGAN, discriminator: Discriminator, z: Tensor
) -> tuple[Tensor, Tensor]:
    """Step 1; the stylemaps and images of z, without gradient."""
    stylemap = model.map(z)
    fake = model.decode(stylemap)
    logits = discriminator(fake)
    out["loss/adv"] = F.softplus(-logits).mean()
    store_gradients(out, "adv", out["loss/adv"], model.generator)
    out["fake_pred"] = logits.detach()
    return stylemap.detach(), fake.detach()


def _reconstructions(
    out: dict[str, Tensor], model: StyleMapGAN, discriminator: Discriminator, real: Tensor
) -> Tensor:
    """Step 5; the reconstructions, without gradient."""
    reconstruction = model(real)
    out["loss/x_rec"] = F.mse_loss(reconstruction, real)
    store_gradients(out, "x_rec", out["loss/x_rec"], model.generator, model.encoder, again=True)
    out["loss/indomain_e"] = F.softplus(-discriminator(reconstruction)).mean()
    store_gradients(out, "indomain_e", out["loss/indomain_e"], model.encoder)
    return reconstruction.detach()


def _discriminator(
    out: dict[str, Tensor], discriminator: Discriminator, real: Tensor, fake: Tensor, reconstruction: Tensor
) -> None:
    """Step 3."""
    logits = discriminator(real)
    out["loss/d"] = F.softplus(-logits).mean() + F.softplus(discriminator(fake)).mean()
    out["loss/indomain_d"] = F.softplus(discriminator(reconstruction)).mean()
    store_gradients(out, "d", out["loss/d"] + out["loss/indomain_d"], discriminator)
    out["real_pred"] = logits.detach()


def _r1(out: dict[str, Tensor], discriminator: Discriminator, real: Tensor) -> None:
    """Step 4."""
    image = real.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
    out["loss/r1"] = gradient.square().sum((1, 2, 3)).mean()
    store_gradients(out, "r1", out["loss/r1"], discriminator)


@contextmanager
def _training(*modules: nn.Module) -> Iterator[None]:
    """The shared networks in training mode. LayerNorm keeps no statistics, so they come back unchanged."""
    try:
        for module in modules:
            module.train().requires_grad_(True)
        yield
    finally:
        for module in modules:
            module.eval().requires_grad_(False)


def store_gradients(
    out: dict[str, Tensor], tag: str, loss: Tensor, *modules: nn.Module, again: bool = False
) -> None:
    """Add grad/TAG/KEY and gradnorm/TAG/KEY for the parameters the golden case names.

    Each gradient is dropped as soon as it is stored. The graph is freed, unless ``again``: another loss
    needs it.
    """
    named = {
        key: p
        for module in modules
        for key, p in module.named_parameters()
        if f"grad/{tag}/{key}" in GRADIENTS
    }

    def store(key: str, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        whole = gradient.numel() <= STORED_WHOLE
        out[f"grad/{tag}/{key}"] = gradient if whole else gradient.flatten()[:STORED_PART].clone()
        out[f"gradnorm/{tag}/{key}"] = gradient.double().norm()
        parameter.grad = None

    hooks = [
        parameter.register_post_accumulate_grad_hook(functools.partial(store, key))
        for key, parameter in named.items()
    ]
    loss.backward(retain_graph=again, inputs=list(named.values()))
    for hook in hooks:
        hook.remove()


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
        goldens.release()


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
    assert relative_error(actual, goldens.expected(CASE, name)) < tolerance("golden", torch.float64)


@pytest.mark.parametrize("name", FORWARD + GRADIENTS)
def test_float32_with_float64_branches(name: str) -> None:
    actual = in_float32_with_float64_branches()[name]
    assert relative_error(actual, goldens.expected(CASE, name)) < tolerance("golden", torch.float32)


@pytest.mark.parametrize("name", FORWARD + GRADIENTS)
def test_float32(name: str) -> None:
    kind = "golden" if name in FORWARD else "golden gradient"
    assert relative_error(in_float32()[name], goldens.expected(CASE, name)) < tolerance(kind, torch.float32)
