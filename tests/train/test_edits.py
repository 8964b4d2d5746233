"""Training for local edits: masks, errors, and what they do to a model."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor

from stylemap import edit
from stylemap.model import StyleMapGAN
from stylemap.train import Lambdas
from stylemap.train.batches import Batches, Share
from stylemap.train.edits import border, local_errors, next_image, random_masks
from stylemap.train.networks import Networks
from stylemap.train.sources import open_source
from stylemap.train.step import Part, Step
from tests.train import tiny_run


def masks(count: int, size: int = 64, seed: int = 0) -> Tensor:
    return random_masks(count, size, torch.Generator().manual_seed(seed))


def images(count: int, size: int = 64) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_masks_are_repeatable_and_of_every_size() -> None:
    drawn = masks(400)
    assert drawn.dtype == torch.bool
    assert drawn.shape == (400, 1, 64, 64)
    assert torch.equal(drawn, masks(400))
    assert not torch.equal(drawn, masks(400, seed=1))
    area = drawn.float().mean((1, 2, 3))
    assert area.quantile(0.1) < 0.04
    assert area.quantile(0.9) > 0.2
    assert area.max() < 0.9
    assert (area == 0).float().mean() < 0.05
    # The same shapes at any size of image.
    assert torch.allclose(masks(400, 128).float().mean((1, 2, 3)), area, atol=0.01)


def test_masks_lie_anywhere() -> None:
    often = masks(2000, 16).float().mean((0, 1))
    assert often.min() > often.mean() / 4
    assert often.max() < 2 * often.mean()


def test_the_border_is_what_has_both_kinds_near() -> None:
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., 4:] = True
    near = border(mask, 1)
    assert near.dtype == torch.bool
    assert near[0, 0, 0].tolist() == [False] * 3 + [True] * 2 + [False] * 3
    assert not border(torch.zeros_like(mask), 3).any()
    assert not border(torch.ones_like(mask), 3).any()


def test_two_images_pasted_together_have_no_error_and_neither_has_the_seam() -> None:
    originals, mask = images(6), masks(6)
    pasted = torch.where(mask, next_image(originals), originals)
    assert [float(e) for e in local_errors(pasted, originals, mask)] == [0, 0]
    pasted = torch.where(border(mask, 1), 9.0, pasted)
    assert [float(e) for e in local_errors(pasted, originals, mask)] == [0, 0]


def test_errors_are_means_over_each_mask() -> None:
    originals = images(2)
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    mask[0, :, :32] = mask[1, :, :8, :8] = True
    wrong = torch.tensor([0.5, 1.0])[:, None, None, None]
    edited = torch.where(mask, next_image(originals) + wrong, originals - 2 * wrong)
    outside, inside = local_errors(edited, originals, mask)
    assert float(inside) == pytest.approx((0.25 + 1) / 2, rel=1e-5)
    assert float(outside) == pytest.approx((1 + 4) / 2, rel=1e-5)


def test_the_training_pass_is_the_edit() -> None:
    """Against `stylemap.edit.local` with every image's successor as its reference, in float64."""
    networks = Networks(tiny_run.config(), tiny_run.CPU)
    model = StyleMapGAN(tiny_run.MODEL)
    model.generator.load_state_dict(networks.generator.state_dict())
    model.double()
    networks.synthesis.double()
    stylemap = torch.randn(4, 6, 4, 4, dtype=torch.float64)
    mask = masks(4, 16)
    with torch.no_grad():
        trained = networks.synthesis(stylemap, mask)
        wanted = edit.local(model, stylemap, next_image(stylemap), mask)
        assert torch.allclose(trained, wanted, rtol=0, atol=1e-12)
        assert not torch.allclose(trained, networks.synthesis(stylemap))


def test_batches_bring_masks_where_they_are_wanted() -> None:
    plain, wanted = (
        tiny_run.config(lambdas=Lambdas(**weights), accumulate=2) for weights in ({}, {"local_src": 1.0})
    )
    assert all(part.masks is None for part in next(iter(batches(plain))))
    from_start = list(islice(batches(wanted), 3))
    again = next(iter(batches(wanted, start=2)))  # as a resumed run
    for a, b in zip(from_start[2], again, strict=True):
        assert a.masks is not None
        assert b.masks is not None
        assert a.masks.shape == (4, 1, 16, 16)
        assert torch.equal(a.masks, b.masks)
    assert not torch.equal(from_start[0][0].masks, from_start[1][0].masks)  # type: ignore[arg-type]


def test_a_single_image_has_no_reference() -> None:
    config = tiny_run.config(batch=2, accumulate=2, lambdas=Lambdas(local_ref=1.0))
    with pytest.raises(ValueError, match="must hold 2 images"):
        batches(config)


def test_losses_and_gradients() -> None:
    config = tiny_run.config(lambdas=tiny_run.lambdas(local_src=2.0, local_ref=3.0))
    networks = Networks(config, tiny_run.CPU)
    gradients = tiny_run.record_gradients(networks)
    part = tiny_run.part()._replace(masks=masks(8, 16))
    found = Step(networks, config)([part], iteration=0)
    assert found.keys() == {"local_src", "local_ref"}
    assert all(float(v) > 0 for v in found.values())

    again = Networks(config, tiny_run.CPU)
    again.train_only("encoder", "synthesis")
    edited = again.synthesis(again.encoder(part.images), part.masks)
    outside, inside = local_errors(edited, part.images, part.masks)  # type: ignore[arg-type]
    assert torch.equal(outside, found["local_src"])
    assert torch.equal(inside, found["local_ref"])
    (2 * outside + 3 * inside).backward()
    taken = {key: value for step in gradients for key, value in step.items()}
    assert any(key.startswith("e/") for key in taken)
    assert any(key.startswith("g/decoder") for key in taken)
    for kind, module in (("g", again.generator), ("e", again.encoder)):
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                assert torch.equal(parameter.grad, taken[f"{kind}/{name}"]), name


def test_it_makes_edits_local() -> None:
    """After some training for it, an edit with masks never seen is closer to both of its images."""
    config = tiny_run.config(lambdas=tiny_run.lambdas(local_src=1.0, local_ref=1.0), iterations=60)
    networks = Networks(config, tiny_run.CPU)
    step = Step(networks, config)
    unseen = Part(tiny_run.part(seed=9).images, tiny_run.part().z, masks=masks(8, 16, seed=9))
    before = error(networks, unseen)
    for iteration, parts in enumerate(batches(config)):
        step(parts, iteration)
    assert error(networks, unseen) < 0.7 * before


@torch.no_grad()
def error(networks: Networks, part: Part) -> float:
    assert part.masks is not None
    edited = networks.synthesis(networks.encoder(part.images), part.masks)
    return float(sum(local_errors(edited, part.images, part.masks)))


def batches(config, start: int = 0) -> Batches:  # type: ignore[no-untyped-def]
    return Batches(open_source(config), config, tiny_run.CPU, Share(), start)
