"""Class-conditional models: the vector of the class is added to z, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from stylemap.model import StyleMapGAN
from stylemap.model.classes import own_classes
from stylemap.model.recipe import recipe_model
from tests.helpers import small

NAMES = ("round", "square", "cat eye")


def conditional() -> StyleMapGAN:
    plain = small.model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = StyleMapGAN(plain.config, NAMES).requires_grad_(False).eval()
    model.generator, model.encoder = plain.generator, plain.encoder
    return model


Z = torch.randn(6, small.CONFIG.latent_channel_size, generator=torch.Generator().manual_seed(1))


def test_the_vector_of_the_class_is_added_to_z() -> None:
    model, plain = conditional(), recipe_model(small.CONFIG)
    classes = torch.tensor([0, 1, 2, 2, 1, 0])
    assert model.class_vectors is not None
    expected = plain.map(Z + model.class_vectors.weight[classes])
    assert torch.equal(model.map(Z, classes), expected)


def test_a_model_of_one_class_always_takes_it() -> None:
    model = conditional()
    for number, name in enumerate(NAMES):
        expected = model.map(Z, torch.full((6,), number))
        for chosen in (name, str(number)):
            one = model.of_class(chosen)
            assert one.class_names == (name,)
            assert torch.equal(one.map(Z), expected)
    assert one.encoder is model.encoder


def test_without_a_class_every_z_has_its_own() -> None:
    model = conditional()
    whole = model.map(Z)
    single = torch.cat([model.map(z[None]) for z in Z])
    torch.testing.assert_close(whole, single)
    classes = own_classes(Z, 3)
    assert torch.equal(whole, model.map(Z, classes))
    many = own_classes(torch.randn(20000, 6, generator=torch.Generator().manual_seed(2)), 10)
    counts = torch.bincount(many, minlength=10)
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_the_mean_stylemap_of_a_class_is_that_of_its_samples() -> None:
    one = conditional().of_class("square")
    z = torch.randn(4096, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one.mean_stylemap(4096)[0], one.map(z).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["oval", "3", "-1", ""])
def test_an_unknown_class_is_an_error_that_lists_them(name: str) -> None:
    with pytest.raises(ValueError, match=r"no class .*: the model has 0 round, 1 square, 2 cat eye"):
        conditional().of_class(name)


def test_what_is_no_class_is_refused() -> None:
    model = conditional()
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.map(Z, torch.tensor([0, 1, 2, 3, 0, 0]))
    with pytest.raises(ValueError, match="one for each z"):
        model.map(Z, torch.tensor([0]))
    with pytest.raises(TypeError, match="int64"):
        model.map(Z, torch.zeros(6))
    with pytest.raises(ValueError, match="knows none"):
        small.model().map(Z, torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ValueError, match="not class-conditional"):
        small.model().of_class("round")
