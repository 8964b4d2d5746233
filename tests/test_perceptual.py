"""The perceptual distance without trained weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stylemap.perceptual import FeatureDistance
from tests.helpers import tiny


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance()


def test_equal_images_have_no_distance_and_it_is_symmetric(distance: FeatureDistance) -> None:
    x, y = tiny.photos(2), tiny.photos(2, seed=1)
    assert distance(x, x).tolist() == [0, 0]
    assert torch.allclose(distance(x, y), distance(y, x))
    assert bool((distance(x, y) > 0.1).all())


def test_samples_are_independent(distance: FeatureDistance) -> None:
    x, y = tiny.photos(3), tiny.photos(3, seed=1)
    assert torch.allclose(distance(x, y)[1:2], distance(x[1:2], y[1:2]))


def test_blur_counts_for_more_than_a_faint_shade(distance: FeatureDistance) -> None:
    """Of two changes with one mean squared error, losing detail is worse than a change of brightness."""
    x = F.interpolate(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), size=64)
    blurred = F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
    shade = (blurred - x).square().mean().sqrt()
    assert float(distance(x, blurred)) > 5 * float(distance(x, x - shade))


def test_it_grows_with_noise(distance: FeatureDistance) -> None:
    x = tiny.photos(1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    values = [float(distance(x, x + amount * noise)) for amount in (0.01, 0.05, 0.2)]
    assert values == sorted(values)


def test_gradients() -> None:
    x = tiny.photos(1, dtype=torch.float64)[:, :, :8, :8].requires_grad_(True)
    y = tiny.photos(1, seed=1, dtype=torch.float64)[:, :, :8, :8]
    assert torch.autograd.gradcheck(FeatureDistance(levels=2), (x, y), fast_mode=True)


def test_any_size_and_half_precision(distance: FeatureDistance) -> None:
    for height, width in ((1, 1), (7, 9), (33, 64)):
        x = torch.rand(1, 3, height, width)
        assert bool(distance(x, 1 - x).isfinite().all())
    half = tiny.photos(1).half()
    assert distance(half, -half).dtype == torch.float32


def test_bad_arguments(distance: FeatureDistance) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) and \(1, 3, 8, 4\)"):
        distance(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 4))
    with pytest.raises(ValueError, match="levels"):
        FeatureDistance(levels=0)
