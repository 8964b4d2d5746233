"""Differentiable augmentation: what the paper changes, by how much, and that gradients pass through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylemap.train.augment import colour, cutout, diff_augment, translation
from stylemap.train.networks import Networks
from stylemap.train.step import Step
from tests.train import tiny_run

Change = Callable[[Tensor, torch.Generator], Tensor]
IMAGES = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_brightness_saturation_and_contrast_have_the_ranges_of_the_paper() -> None:
    changed = colour(IMAGES, random())
    moved = changed.mean((1, 2, 3)) - IMAGES.mean((1, 2, 3))
    assert -0.5 <= moved.min() < -0.4
    assert 0.4 < moved.max() <= 0.5
    grey, before = changed.mean(1), IMAGES.mean(1)
    contrast = grey.std((1, 2)) / before.std((1, 2))
    assert 0.5 <= contrast.min() < 0.6
    assert 1.4 < contrast.max() <= 1.5
    chroma = (changed - grey[:, None]).square().mean((1, 2, 3)).sqrt()
    saturation = chroma / (IMAGES - before[:, None]).square().mean((1, 2, 3)).sqrt() / contrast
    assert 0 <= saturation.min() < 0.2
    assert 1.8 < saturation.max() <= 2


def test_images_are_moved_by_up_to_an_eighth() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8, 8] = 1
    places = set()
    for seed in range(200):
        moved = translation(image, random(seed))
        assert moved.sum() == 3
        _, y, x = moved[0].nonzero()[0].tolist()
        places.add((y - 8, x - 8))
    assert places == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert torch.all(translation(torch.ones(8, 3, 16, 16), random())[:, :, 2:-2, 2:-2] == 1)


def test_a_square_of_half_the_size_is_cut_out() -> None:
    cut = cutout(torch.ones(200, 3, 16, 16), random()) == 0
    rows, columns = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert torch.equal(cut.sum((1, 2, 3)), 3 * rows * columns)
    assert int(rows.max()) == int(columns.max()) == 8
    assert int(rows.min()) >= 4  # the centre is in the image
    assert cut.any(0).all()


@pytest.mark.parametrize("change", [colour, translation, cutout, diff_augment])
def test_each_image_its_own_way_and_again_by_the_same_numbers(change: Change) -> None:
    same = IMAGES[:1].expand(8, -1, -1, -1)
    first, again, other = change(same, random(1)), change(same, random(1)), change(same, random(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first[:1].expand(8, -1, -1, -1), first)


@pytest.mark.parametrize("change", [colour, translation, cutout, diff_augment])
def test_gradients_pass_through(change: Change) -> None:
    images = IMAGES[:2, :, :8, :8].double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: change(x, random()), (images,))


def seen_by_the_discriminator(augment: str) -> list[Tensor]:
    config = tiny_run.config(augment=augment, perceptual="features")
    networks = Networks(config, tiny_run.CPU)
    seen: list[Tensor] = []
    networks.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    Step(networks, config)([tiny_run.part(4)], 0)
    return seen


def test_the_discriminator_sees_no_image_unchanged() -> None:
    """Samples, real images, reconstructions and those of R1, for the generator's steps too."""
    plain, augmented = seen_by_the_discriminator("none"), seen_by_the_discriminator("diffaugment")
    assert len(plain) == len(augmented) == 6
    real = tiny_run.part(4).images
    assert sum(torch.equal(images, real) for images in plain) == 2
    assert not any(torch.equal(a[i], r) for a in augmented for i, r in enumerate(real))
    assert not torch.allclose(plain[0], augmented[0])
    first, again = seen_by_the_discriminator("diffaugment"), augmented
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
