"""The whole network on the CUDA kernels: images, gradients and the double backward of R1."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from stylemap import ops
from stylemap.config import Config
from stylemap.model import StyleMapGAN
from stylemap.model.discriminator import Discriminator
from tests.helpers.tolerances import tolerance
from tests.ops.common import relative_error, tensor

WIDTHS = {32: 8, 16: 16, 8: 24, 4: 16}


def config(**options: object) -> Config:
    return Config(size=32, latent_spatial_size=8, latent_channel_size=16, channel_table=WIDTHS, **options)  # type: ignore[arg-type]


def network(kind: type[nn.Module], configuration: Config) -> nn.Module:
    torch.manual_seed(0)
    return kind(configuration).to(torch.get_default_device())  # type: ignore[call-arg]


def both(module: nn.Module, run: object, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The kernels' result in ``dtype`` and the definition's in float64."""
    wide = copy.deepcopy(module).double()
    with ops.backend("reference"):
        expected = run(wide, torch.float64)  # type: ignore[operator]
    last = {"memory_format": torch.channels_last} if dtype != torch.float32 else {}
    return run(copy.deepcopy(module).to(dtype=dtype, **last), dtype), expected  # type: ignore[operator]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("normalize", ["LayerNorm", "InstanceNorm2d", "GroupNorm", "BatchNorm2d"])
def test_reconstruction_matches_reference(normalize: str, small: bool) -> None:
    model = network(StyleMapGAN, config(normalize_mode=normalize, small_generator=small))

    @torch.no_grad()
    def reconstruct(model: StyleMapGAN, dtype: torch.dtype) -> Tensor:
        return model.eval()(tensor(1, 3, 32, 32, dtype=dtype).clamp(-1, 1))

    for dtype, kind in ((torch.float32, "network"), (torch.float16, "modules")):
        actual, expected = both(model, reconstruct, dtype)
        assert actual.dtype == dtype
        assert relative_error(actual, expected) < tolerance(kind, dtype, "cuda")


def test_gradients_match_reference() -> None:
    model = network(StyleMapGAN, config())

    def gradient(model: StyleMapGAN, dtype: torch.dtype) -> Tensor:
        image = tensor(2, 3, 32, 32, dtype=dtype).clamp(-1, 1)
        model.train()(image).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    actual, expected = both(model, gradient, torch.float32)
    assert relative_error(actual, expected) < tolerance("gradient", "fp32", "cuda")


def test_r1_matches_reference() -> None:
    discriminator = network(Discriminator, config())

    def penalty_gradient(discriminator: Discriminator, dtype: torch.dtype) -> Tensor:
        image = tensor(2, 3, 32, 32, dtype=dtype).clamp(-1, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
        gradient.square().sum().backward()
        return torch.cat([p.grad.flatten() for p in discriminator.parameters() if p.grad is not None])

    actual, expected = both(discriminator, penalty_gradient, torch.float32)
    assert relative_error(actual, expected) < tolerance("gradient", "fp32", "cuda")
