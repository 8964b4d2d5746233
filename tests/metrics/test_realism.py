"""Sharpness, features' statistics, seams, and what moves along directions do."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from stylemap.data.faces import FacesDataset
from stylemap.metrics.directions import Classifiers, fit_directions, moves
from stylemap.metrics.efficientnet import EfficientNetDistance
from stylemap.metrics.fid import frechet_distance
from stylemap.metrics.realism import Statistics, border_band, laplacian_energy


def faces(count: int, first: int = 0) -> torch.Tensor:
    return FacesDataset(64, first + count).batch(range(first, first + count))


def test_energy_of_a_known_pattern_and_of_a_blur() -> None:
    checks = torch.ones(1, 3, 8, 8)
    checks[:, :, ::2, 1::2] = checks[:, :, 1::2, ::2] = -1
    assert float(laplacian_energy(checks)) == pytest.approx(64)
    images = faces(2)
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1)
    assert (laplacian_energy(blurred) < 0.5 * laplacian_energy(images)).all()


def test_frechet_distance_ranks_a_blur_behind_other_faces() -> None:
    look = Statistics()
    real, others = look([faces(48)]), look([faces(48, 48)])
    blurred = look([F.avg_pool2d(faces(48, 48), 5, stride=1, padding=2)])
    near, far = (frechet_distance(real.gaussian, one.gaussian) for one in (others, blurred))
    assert far > 1.5 * near
    assert others.energy > 2 * blurred.energy


def test_the_band_follows_the_border() -> None:
    mask = torch.zeros(1, 1, 128, 128, dtype=torch.bool)
    mask[..., 64:] = True
    columns = border_band(mask)[0, 0].any(0).nonzero()[:, 0]
    assert (int(columns[0]), int(columns[-1])) == (58, 69)
    assert not border_band(torch.ones_like(mask)).any()


def test_a_distance_in_places_sees_nothing_elsewhere() -> None:
    images = faces(1)
    changed = images.clone()
    changed[..., :16] = 0
    distance = EfficientNetDistance()
    left, right = (torch.zeros(1, 1, 64, 64, dtype=torch.bool) for _ in range(2))
    left[..., :16], right[..., 60:] = True, True
    near, far = (float(distance(changed, images, where)) for where in (left, right))
    assert near > 20 * far
    everywhere = distance(changed, images, torch.ones_like(left))
    assert float(everywhere) == pytest.approx(float(distance(changed, images)), rel=1e-5)


def pixels(images: torch.Tensor) -> torch.Tensor:
    """A stylemap of pixels, in place of an encoder."""
    return F.avg_pool2d(images.float() / 127.5 - 1, 4)


def test_directions_from_pairs_move_one_attribute() -> None:
    found = fit_directions(pixels, 64, 80, ("glasses", "smile"))
    assert list(found) == ["glasses", "smile"]
    assert all(one.accuracy >= 0.8 and one.step > 0 for one in found.values())
    glasses = found["glasses"].vector.abs().sum(0)
    assert float(glasses[6:10].mean()) > 3 * float(glasses[:4].mean()), "glasses are at the eyes"
    with pytest.raises(ValueError, match="at least 5"):
        fit_directions(pixels, 64, 4)


def test_classifiers_and_moves() -> None:
    data = FacesDataset(64, 600)
    stylemaps, truth = pixels(data.raw(range(600))), data.labels(range(600))
    classify = Classifiers(stylemaps[:500], truth[:500], ("glasses", "hat"))
    shown = classify(stylemaps[500:])
    from stylemap.metrics.directions import attribute_labels

    for index, name in enumerate(classify.names):
        right = shown[:, index] == (attribute_labels(truth[500:], name) == 1)
        assert right.double().mean() > 0.85, name
    before = torch.tensor([[False, True], [False, False], [True, False]])
    after = torch.tensor([[True, True], [False, True], [True, False]])
    assert moves(before, after, 0) == (0.5, 0.5, 2)
    with pytest.raises(ValueError, match="already"):
        moves(before[2:], after[2:], 0)
    assert math.isfinite(float(classify.thresholds.sum()))
