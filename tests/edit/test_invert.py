"""Inversion by optimisation."""

from __future__ import annotations

import pytest
import torch

from stylemap import edit
from stylemap.model import StyleMapGAN
from tests.helpers import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def test_inversion_lowers_the_loss_and_reports_it() -> None:
    model, photo = tiny.model(), tiny.photos(2)
    seen: list[tuple[int, float]] = []
    found = edit.invert(model, photo, steps=8, progress=lambda step, loss: seen.append((step, loss)))
    assert found.losses.shape == (9, 2)
    assert bool((found.losses.min(0).values < found.losses[0]).all())
    assert [step for step, _ in seen] == list(range(9))
    assert seen[0][1] == pytest.approx(float(found.losses[0].mean()))
    assert found.stylemap.shape == (2, *tiny.CONFIG.stylemap_shape)
    assert not found.stylemap.requires_grad


def test_the_best_stylemap_is_returned_not_the_last() -> None:
    """With a learning rate that diverges, the start stays the best."""
    model, photo = tiny.model(), tiny.photos(1)
    found = edit.invert(model, photo, steps=3, learning_rate=50.0, start=tiny.stylemaps(1))
    assert float(found.losses[-1]) > float(found.losses[0])
    with torch.no_grad():
        expected = float(found.losses.min())
        again = edit.invert(model, photo, steps=0, start=found.stylemap)
    assert float(again.losses[0]) == pytest.approx(expected, rel=1e-4)


def test_images_of_a_batch_are_independent() -> None:
    model, photos = tiny.model(torch.float64), tiny.photos(2, dtype=torch.float64)
    together = edit.invert(model, photos, steps=4)
    alone = edit.invert(model, photos[1:], steps=4)
    assert torch.allclose(together.stylemap[1:], alone.stylemap, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("start", ["encoder", "mean"])
def test_starts(start: str) -> None:
    model, photo = tiny.model(), tiny.photos(1)
    with torch.no_grad():
        expected = model.encode(photo) if start == "encoder" else model.mean_stylemap()
    assert torch.equal(edit.invert(model, photo, steps=0, start=start).stylemap, expected)


def test_a_perfect_start_has_no_loss() -> None:
    model, w = tiny.model(), tiny.stylemaps(1)
    with torch.no_grad():
        photo = model.decode(w)
    assert float(edit.invert(model, photo, steps=0, start=w).losses) == 0


def test_the_model_is_left_as_it_was() -> None:
    model = tiny.model().float()
    weight = next(model.parameters())
    before, wanted = weight.clone(), weight.requires_grad
    weight.requires_grad_(True)
    try:
        edit.invert(model, tiny.photos(1), steps=1)
        assert weight.requires_grad
        assert weight.grad is None
        assert torch.equal(weight, before)
    finally:
        weight.requires_grad_(wanted)


def test_weights_and_own_distance() -> None:
    model, photo = tiny.model(), tiny.photos(1)
    pixel = edit.invert(model, photo, steps=0, perceptual_weight=0).losses
    with torch.no_grad():
        expected = (edit.reconstruct(model, photo) - photo).square().mean()
    assert float(pixel) == pytest.approx(float(expected), rel=1e-5)
    own = edit.invert(
        model, photo, steps=0, pixel_weight=0, perceptual=lambda x, y: torch.full((1, 1, 1, 1), 3.0)
    )
    assert float(own.losses) == 3


def test_each_loss_has_its_curve() -> None:
    model, photo = tiny.model(), tiny.photos(2)
    found = edit.invert(model, photo, steps=2, l1_weight=2.0, pixel_weight=0.5, perceptual_weight=3.0)
    assert list(found.curves) == ["l1", "mse", "perceptual"]
    total = 2 * found.curves["l1"] + 0.5 * found.curves["mse"] + 3 * found.curves["perceptual"]
    assert found.losses.shape == (3, 2)
    assert torch.allclose(total, found.losses)
    with torch.no_grad():
        difference = edit.reconstruct(model, photo) - photo
    assert torch.allclose(found.curves["l1"][0], difference.abs().mean((1, 2, 3)))
    assert torch.allclose(found.curves["mse"][0], difference.square().mean((1, 2, 3)))
    only = edit.invert(model, photo, steps=0, l1_weight=1.0, pixel_weight=0, perceptual_weight=0)
    assert list(only.curves) == ["l1"]


def test_inversion_through_the_mapping() -> None:
    """A photo the mapping can make: the search for z comes nearer, and every stylemap is the mapping's."""
    model = tiny.model()
    with torch.no_grad():
        photo = edit.sample(model, 2, seed=99)
    found = edit.invert(model, photo, start="z", steps=8, learning_rate=0.1)
    assert found.z is not None
    assert found.z.shape == (2, tiny.CHANNELS)
    assert bool((found.losses.min(0).values < 0.9 * found.losses[0]).all())
    with torch.no_grad():
        assert torch.equal(found.stylemap, model.map(found.z))
        assert torch.equal(found.start, edit.invert(model, photo, start="z", steps=0).stylemap)
    w, losses = found
    assert w is found.stylemap
    assert losses is found.losses


def test_the_start_in_z_is_the_best_of_random_ones() -> None:
    model = tiny.model()
    with torch.no_grad():
        photo = edit.sample(model, 16, seed=4)[[11, 3]]
        found = edit.invert(model, photo, start="z", steps=0, seed=4)
        assert torch.equal(found.z, edit.latents(model, 16, seed=4)[[11, 3]])
    assert float(found.losses.max()) < 1e-3


def test_z_and_then_w() -> None:
    model, photo, seen = tiny.model(), tiny.photos(1), []
    z = edit.latents(model, 1, seed=2)
    arguments = {"start": z, "steps": 3, "progress": lambda step, loss: seen.append(step)}
    found = edit.invert(model, photo, w_steps=4, **arguments)
    assert seen == list(range(9))
    assert found.losses.shape == found.curves["mse"].shape == (9, 1)
    by_z = edit.invert(model, photo, **arguments)
    assert torch.equal(found.losses[:4], by_z.losses)
    assert float(found.losses[4]) == pytest.approx(float(by_z.losses.min()), rel=1e-5)
    assert float(found.losses[-1]) < float(found.losses[4])
    with torch.no_grad():
        assert torch.equal(found.start, model.map(z))
        assert not torch.equal(found.stylemap, model.map(found.z))


def test_half_precision_optimises_in_single() -> None:
    found = edit.invert(tiny.model(torch.bfloat16), tiny.photos(1, dtype=torch.bfloat16), steps=3)
    assert found.stylemap.dtype == torch.bfloat16
    assert bool(found.losses.isfinite().all())


def test_bad_arguments() -> None:
    model, photo = tiny.model(), tiny.photos(1)
    with pytest.raises(ValueError, match="steps must be at least 0"):
        edit.invert(model, photo, steps=-1)
    with pytest.raises(ValueError, match="start must be 'encoder'"):
        edit.invert(model, photo, start="zero")
    with pytest.raises(ValueError, match=r"\(1, 8, 8, 8\).*\(1, 8, 4, 4\)"):
        edit.invert(model, photo, start=torch.zeros(1, 8, 4, 4))
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        edit.invert(model, photo * float("nan"), steps=2)
    with pytest.raises(ValueError, match=r"or a z \(1, 8\), got \(1, 7\)"):
        edit.invert(model, photo, start=torch.zeros(1, 7))
    with pytest.raises(ValueError, match="w_steps must be at least 0"):
        edit.invert(model, photo, start="z", w_steps=-1)
    with pytest.raises(ValueError, match="follow a search for z"):
        edit.invert(model, photo, w_steps=1)
    with pytest.raises(ValueError, match="one weight of a loss must be above 0"):
        edit.invert(model, photo, pixel_weight=0, perceptual_weight=0)
    with pytest.raises(ValueError, match=r"finite and at least 0, got -1"):
        edit.invert(model, photo, l1_weight=-1)


def test_z_of_one_class_alone() -> None:
    """Left to itself a model of several classes takes one by z, which would jump on the way."""
    model, photo = StyleMapGAN(tiny.CONFIG, ("first", "second")).eval(), tiny.photos(1)
    with pytest.raises(ValueError, match=r"needs one class: give it model\.of_class"):
        edit.invert(model, photo, start="z", steps=1)
    found = edit.invert(model.of_class("second"), photo, start="z", steps=2)
    with torch.no_grad():
        assert torch.equal(model.map(found.z, torch.tensor([1])), found.stylemap)
