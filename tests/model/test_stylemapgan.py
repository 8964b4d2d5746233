"""StyleMapGAN's interface: any configuration, dtype and layout; checks of what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.edit import latents
from stylemap.model import Discriminator, StyleMapGAN
from stylemap.model.recipe import recipe_discriminator, recipe_model
from tests.helpers import small
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"size": 8},
        {"size": 64, "channel_table": {4: 8, 8: 12, 16: 8, 32: 4, 64: 3}},
        {"size": 32, "latent_spatial_size": 16, "channel_table": {4: 5, 8: 6, 16: 7, 32: 9}},
        {"small_generator": True},
        {"mapping_layer_num": 1, "latent_channel_size": 1},
        {"normalize_mode": "GroupNorm"},
        {"normalize_mode": "BatchNorm2d"},
        {"normalize_mode": "InstanceNorm2d"},
    ],
    ids=str,
)
def test_any_configuration(changes: dict[str, Any]) -> None:
    config = small.config(**changes)
    model = recipe_model(config)
    w = model.encode(torch.rand(2, 3, config.size, config.size))
    assert w.shape == (2, *config.stylemap_shape)
    codes = model.stylecodes(w)
    assert [tuple(code.shape) for code in codes] == [(2, *shape) for shape in config.stylecode_shapes]
    image = model.synthesize(codes)
    assert image.shape == (2, 3, config.size, config.size)
    assert torch.equal(image, model.decode(w))
    assert model.map(torch.randn(5, config.latent_channel_size)).shape == (5, *config.stylemap_shape)
    assert image.isfinite().all()
    assert recipe_discriminator(config)(image).shape == (2, 1)


def test_samples_of_a_batch_do_not_mix() -> None:
    model = small.model()
    torch.testing.assert_close(model(IMAGES)[1:], model(IMAGES[1:]))


def test_empty_batch() -> None:
    model = small.model()
    assert model.encode(IMAGES[:0]).shape == (0, 6, 4, 4)
    assert model.map(torch.zeros(0, 6)).shape == (0, 6, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(dtype: torch.dtype) -> None:
    expected = small.model()(IMAGES)
    model = small.model().to(dtype)
    image = model(IMAGES.to(dtype))
    assert image.dtype == dtype
    kind = "golden" if dtype == torch.float64 else "modules"
    assert relative_error(image, expected) < tolerance(kind, dtype)
    assert model.mean_stylemap(8).dtype == dtype


@pytest.mark.parametrize("norm", ["LayerNorm", "BatchNorm2d"])
@pytest.mark.parametrize("training", [False, True])
def test_autocast(norm: str, training: bool) -> None:
    """Losses in reduced precision: gradients reach the float32 parameters of all three networks."""
    model = small.model(normalize_mode=norm).train(training).requires_grad_(True)
    discriminator = small.discriminator().requires_grad_(True)
    expected = model(IMAGES)
    with torch.autocast("cpu", torch.bfloat16):
        image = model(IMAGES)
        loss = discriminator(image).float().sum() + model.sample(torch.ones(2, 6)).float().square().mean()
    assert image.dtype == torch.bfloat16
    assert relative_error(image, expected) < tolerance("modules", "bf16")
    loss.backward()
    for name, parameter in (*model.named_parameters(), *discriminator.named_parameters()):
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), name


def test_channels_last() -> None:
    model = small.model()
    expected = model(IMAGES)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = model(IMAGES.contiguous(memory_format=torch.channels_last))
    assert relative_error(image, expected) < 1e-6
    strided = torch.zeros(2, 3, 16, 32)[..., ::2].copy_(IMAGES)
    assert relative_error(model(strided), expected) < 1e-6


def test_gradients_reach_the_stylemap_of_a_frozen_model() -> None:
    w = small.model().encode(IMAGES).requires_grad_(True)
    small.model().decode(w).square().mean().backward()
    assert w.grad is not None
    assert w.grad.abs().sum() > 0


def test_compiles_without_graph_breaks() -> None:
    model = small.model()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(IMAGES), model(IMAGES))


def test_mean_stylemap() -> None:
    model = small.model()
    mean = model.mean_stylemap(samples=700, seed=3)
    z = torch.randn(700, 6, generator=torch.Generator().manual_seed(3))
    assert mean.shape == (1, 6, 4, 4)
    assert relative_error(mean, model.map(z).mean(0, keepdim=True)) < 1e-5
    assert torch.equal(mean, model.mean_stylemap(samples=700, seed=3))
    assert not torch.equal(mean, model.mean_stylemap(samples=700, seed=4))
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        model.mean_stylemap(0)


def test_truncation() -> None:
    model = small.model()
    z, mean = torch.randn(2, 6), model.mean_stylemap()
    assert torch.equal(model.sample(z), model.decode(model.map(z)))
    assert torch.equal(model.sample(z, truncation=0.5), model.sample(z, 0.5, mean))
    centre = model.decode(mean.expand(2, -1, -1, -1))
    torch.testing.assert_close(model.sample(z, 0.0, mean), centre)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.encode(IMAGES[0]), ValueError, "images: expected shape N×3×16×16, got 3×16×16"),
        (lambda m: m.encode(torch.zeros(1, 4, 16, 16)), ValueError, "N×3×16×16, got 1×4×16×16"),
        (lambda m: m.encode(torch.zeros(1, 3, 16, 32)), ValueError, "N×3×16×16, got 1×3×16×32"),
        (lambda m: m.encode(torch.zeros(())), ValueError, "N×3×16×16, got a scalar"),
        (
            lambda m: m.encode(IMAGES.double()),
            TypeError,
            "images: expected float32, as the model, got float64",
        ),
        (lambda m: m.encode(IMAGES.byte()), TypeError, "images: expected float32, as the model, got uint8"),
        (
            lambda m: m.encode(IMAGES.to("meta")),
            ValueError,
            "images: expected on cpu, as the model, got meta",
        ),
        (
            lambda m: m.encode(IMAGES.to_sparse()),
            TypeError,
            "images: expected a dense tensor, got one of layout",
        ),
        (lambda m: m.mean_stylemap(4, "a"), TypeError, "seed: expected a whole number, got 'a'"),
        (lambda m: latents(m, 1, 0.5), TypeError, "seed: expected a whole number, got 0.5"),
        (lambda m: latents(m, 1, 1 << 64), ValueError, "seed: expected a number of at most 64 bits"),
        (lambda m: m.encode([1, 2]), TypeError, "images: expected a tensor, PIL images, .* got list"),
        (lambda m: m.decode(torch.zeros(1, 6, 8, 8)), ValueError, "stylemap: expected shape N×6×4×4, got"),
        (lambda m: m.map(torch.zeros(1, 7)), ValueError, "z: expected shape N×6, got 1×7"),
        (lambda m: m.synthesize(codes(m)[:-1]), ValueError, "codes: expected 6 stylecodes, got 5"),
        (lambda m: m.synthesize(codes(m)[0]), ValueError, "codes: expected 6 stylecodes, got one tensor"),
        (lambda m: m.synthesize(codes(m)[::-1]), ValueError, r"codes\[0\]: expected shape N×16×4×4, got"),
        (
            lambda m: m.synthesize([*codes(m)[:-1], codes(m)[-1][:1]]),
            ValueError,
            r"codes\[5\]: expected a batch",
        ),
        (
            lambda m: m.sample(torch.zeros(2, 6), 0.5, torch.zeros(3, 6, 4, 4)),
            ValueError,
            "a batch of 1 or 2, got 3",
        ),
        (
            lambda m: m.sample(torch.zeros(2, 6), 0.5, torch.zeros(1, 96)),
            ValueError,
            "expected shape N×6×4×4",
        ),
    ],
)
def test_refused(call: Callable[[StyleMapGAN], Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(small.model())


def codes(model: StyleMapGAN) -> list[Tensor]:
    return model.stylecodes(torch.zeros(2, 6, 4, 4))


def test_autocast_still_refuses_integers() -> None:
    message = "images: expected a floating-point dtype, got uint8"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=message):
        small.model().encode(IMAGES.byte())


def test_new_models_differ_and_can_be_built_without_memory() -> None:
    a, b = StyleMapGAN(small.CONFIG), StyleMapGAN(small.CONFIG)
    assert not torch.equal(a.encoder.final_conv[0].weight, b.encoder.final_conv[0].weight)  # type: ignore[arg-type]
    with torch.device("meta"):
        networks = (StyleMapGAN(Config(1024)), Discriminator(Config(1024)))
    assert all(p.is_meta for network in networks for p in network.parameters())
