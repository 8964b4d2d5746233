"""Editing sessions against `stylemap.edit` in float64, for any masks, shifts and weights."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import stylemap
from stylemap import EditSession, edit
from stylemap.config import Config
from stylemap.engine.images import ImageHandle
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from tests.helpers import needs
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = [
    needs.when(_native.loaded(), "the native library is not built"),
    pytest.mark.usefixtures("one_thread"),
]

NORMS = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")
SIZE = 64
WEIGHT = st.sampled_from([0.0, 0.25, 0.6, 1.0])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and threads that wait for each other cost much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def model(norm: str = "LayerNorm", small: bool = False) -> StyleMapGAN:
    config = Config(
        size=SIZE,
        latent_channel_size=12,
        latent_spatial_size=4,
        mapping_layer_num=2,
        normalize_mode=norm,
        small_generator=small,
        channel_table={4: 24, 8: 40, 16: 24, 32: 16, 64: 8},
    )
    return recipe_model(config, torch.float64)


def photos(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1


@functools.cache
def stylemaps(norm: str = "LayerNorm", small: bool = False) -> Tensor:
    with torch.no_grad():
        return model(norm, small).encode(photos().double())


@functools.cache
def opened(norm: str, small: bool, precision: str) -> tuple[EditSession, list[ImageHandle]]:
    """Shared by many examples: what it keeps from earlier edits must not matter."""
    made = EditSession(model(norm, small), precision=precision)
    return made, [made.add(photo) for photo in photos()]


def session() -> EditSession:
    return opened("LayerNorm", False, "fp32")[0]


def handles() -> list[ImageHandle]:
    return opened("LayerNorm", False, "fp32")[1]


def box(x: int, y: int, width: int, height: int) -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[y : y + height, x : x + width] = 1
    return mask


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """Boxes, blobs, noise at some scale, everything and nothing; sometimes with soft values."""
    kind = draw(st.sampled_from(["box", "box", "noise", "all", "none"]))
    if kind == "box":
        at = st.integers(0, SIZE - 1)
        return box(draw(at), draw(at), draw(st.integers(1, SIZE)), draw(st.integers(1, SIZE)))
    if kind == "noise":
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        cell = draw(st.sampled_from([1, 4, 16]))
        cells = torch.rand(SIZE // cell, SIZE // cell, generator=generator)
        return cells.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    return torch.full((SIZE, SIZE), float(kind == "all"))


PIXELS = st.one_of(st.just(0), st.integers(-80, 80))
LAYERS = st.lists(st.tuples(st.integers(0, 2), masks(), st.tuples(PIXELS, PIXELS)), max_size=3)
Layers = Sequence[tuple[int, Tensor, tuple[int, int]]]


def exact(layers: Layers, weights: Sequence[float], norm: str = "LayerNorm", small: bool = False) -> Tensor:
    ws = stylemaps(norm, small)
    sources = [ws[image : image + 1] for image, _, _ in layers]
    shapes, shifts = [mask for _, mask, _ in layers], [shift for _, _, shift in layers]
    with torch.no_grad():
        return edit.blend(model(norm, small), ws[:1], sources, shapes, shifts, weights)


def edited(
    layers: Layers,
    weights: Sequence[float],
    norm: str = "LayerNorm",
    small: bool = False,
    precision: str = "fp32",
) -> Tensor:
    used, images = opened(norm, small, precision)
    references = [used.reference(images[image], mask, shift) for image, mask, shift in layers]
    return used.frames(images[0], references, weights)


@settings(max_examples=60, deadline=None)
@given(LAYERS, WEIGHT)
def test_any_edit(layers: Layers, weight: float) -> None:
    assert relative_error(edited(layers, [weight]), exact(layers, [weight])) < tolerance("network", "fp32")


@settings(max_examples=15, deadline=None)
@given(LAYERS, st.booleans(), st.sampled_from(NORMS), WEIGHT)
def test_all_generators_and_norms(layers: Layers, small: bool, norm: str, weight: float) -> None:
    actual = edited(layers, [weight], norm, small)
    assert relative_error(actual, exact(layers, [weight], norm, small)) < tolerance("network", "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_and_precision(norm: str, small: bool, precision: str) -> None:
    layers = [(1, box(5, 9, 30, 22), (13, -6)), (2, box(20, 20, 30, 40), (0, 0))]
    actual = edited(layers, [0.3, 1.0], norm, small, precision)
    assert relative_error(actual, exact(layers, [0.3, 1.0], norm, small)) < tolerance("network", precision)


@settings(max_examples=15, deadline=None)
@given(LAYERS, st.lists(WEIGHT, min_size=1, max_size=4))
def test_strips(layers: Layers, weights: list[float]) -> None:
    strip = edited(layers, weights)
    assert relative_error(strip, exact(layers, weights)) < tolerance("network", "fp32")
    singles = torch.cat([edited(layers, [weight]) for weight in weights])
    assert torch.equal(strip, singles)


@settings(max_examples=10, deadline=None)
@given(st.lists(LAYERS, min_size=2, max_size=4))
def test_a_sequence_of_edits_equals_each_from_scratch(strokes: list[Layers]) -> None:
    for layers in strokes:
        used = EditSession(model(), plan=session().renderer.plan)  # type: ignore[union-attr]
        images = [used.add(photo) for photo in photos()]
        references = [used.reference(images[image], mask, shift) for image, mask, shift in layers]
        assert torch.equal(used.edit(images[0], references), edited(layers, [1.0])[0])


def test_a_growing_stroke_reuses_what_it_does_not_change() -> None:
    used = EditSession(model())
    images = [used.add(photo) for photo in photos()]
    before = used.edit(images[0])
    for width in range(1, 12):
        layers = [(1, box(17, 18, width, 3), (2, 0))]
        actual = used.edit(images[0], [used.reference(images[1], layers[0][1], (2, 0))])
        assert relative_error(actual[None], exact(layers, [1.0])) < tolerance("network", "fp32")
    assert used.stats()["reused_layers"] > 20
    assert torch.equal(used.edit(images[0]), before)


def test_extrapolation() -> None:
    layers = [(1, box(4, 4, 40, 40), (9, 0)), (2, box(30, 20, 30, 40), (0, -8))]
    assert relative_error(edited(layers, [-0.5, 1.5]), exact(layers, [-0.5, 1.5])) < tolerance(
        "network", "fp32"
    )


def test_the_original_moved_over_itself() -> None:
    layers = [(0, box(10, 10, 30, 30), (7, 12)), (0, box(30, 30, 20, 20), (-21, 0))]
    assert relative_error(edited(layers, [1.0]), exact(layers, [1.0])) < tolerance("network", "fp32")


def test_masks_as_blend_takes_them() -> None:
    used, images = session(), handles()
    mask = box(8, 8, 24, 32)
    expected = used.edit(images[0], [used.reference(images[1], mask)])
    for other in (mask.bool(), (255 * mask).to(torch.uint8), mask[None], mask[None, None], mask.double()):
        assert torch.equal(used.edit(images[0], [used.reference(images[1], other)]), expected)


def test_a_reference_keeps_its_mask() -> None:
    used, images = session(), handles()
    mask = box(8, 8, 24, 32)
    reference = used.reference(images[1], mask)
    expected = used.edit(images[0], [reference])
    mask.zero_()
    assert torch.equal(used.edit(images[0], [reference]), expected)


@pytest.mark.parametrize("take", ["coarse", "fine", [1, 4], []])
def test_mix(take: str | list[int]) -> None:
    expected = edit.mix_styles(model(), stylemaps()[:1], stylemaps()[1:2], take)
    actual = session().mix(*handles()[:2], take)
    assert relative_error(actual[None], expected) < tolerance("network", "fp32")


def test_interpolate_transplant_manipulate() -> None:
    used, images, ws = session(), handles(), stylemaps()
    weights = [0.0, 0.4, 1.0]
    expected = edit.interpolate(model(), ws[:1], ws[1:2], weights)
    assert relative_error(used.interpolate(images[0], images[1], weights), expected) < tolerance(
        "network", "fp32"
    )
    boxes = [((0, 1), (2, 0), 2, 3)]
    expected = model().decode(edit.transplant(ws[:1], ws[1:2], boxes))
    assert relative_error(used.transplant(images[0], images[1], boxes)[None], expected) < tolerance(
        "network", "fp32"
    )
    direction = torch.randn(12, 4, 4, generator=torch.Generator().manual_seed(1))
    mask = box(0, 0, 32, 64)
    expected = model().decode(edit.manipulate(ws[:1], direction.double(), 3.0, mask))
    assert relative_error(used.manipulate(images[0], direction, 3.0, mask)[None], expected) < tolerance(
        "network", "fp32"
    )


def test_a_stylemap_as_an_image() -> None:
    used, images = session(), handles()
    copy = used.add_stylemap(used.stylemap(images[1]))
    assert torch.equal(used.edit(copy), used.edit(images[1]))
    used.remove(copy)


def test_threads() -> None:
    used, images = session(), handles()
    references = [used.reference(images[1], box(4 * i, 8, 20, 30), (3 * i, 0)) for i in range(4)]
    expected = [used.edit(images[0], [reference]) for reference in references]
    results: dict[int, Tensor] = {}

    def work(i: int) -> None:
        torch.set_num_threads(1)
        for _ in range(3):
            results[i] = used.edit(images[0], [references[i]])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(results[i], expected[i]) for i in range(4))


def test_sessions_share_a_plan_until_the_weights_change() -> None:
    shared = recipe_model(model().config)
    first, second = EditSession(shared), EditSession(shared)
    assert first.renderer.plan is second.renderer.plan  # type: ignore[union-attr]
    before = first.edit(first.add(photos(1)[0]))
    with torch.no_grad():
        shared.generator.decoder.to_rgb.activate.bias.add_(1)
    third = EditSession(shared)
    assert third.renderer.plan is not first.renderer.plan  # type: ignore[union-attr]
    assert not torch.allclose(third.edit(third.add(photos(1)[0])), before)


def test_exported() -> None:
    assert stylemap.EditSession is EditSession
    assert "EditSession" in stylemap.__all__


def test_errors() -> None:
    used, images = EditSession(model()), handles()
    with pytest.raises(ValueError, match="fp16 is for GPUs"):
        EditSession(model(), precision="fp16")
    with pytest.raises(ValueError, match="precision must be one of"):
        EditSession(model(), precision="int8")
    with pytest.raises(ValueError, match="the plan is for the CPU, fp32"):
        EditSession(model(), precision="bf16", plan=used.renderer.plan)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="is not in this session"):
        used.edit(images[0])
    with pytest.raises(ValueError, match="mask must be 64"):
        session().reference(images[0], torch.zeros(32, 32))
    with pytest.raises(ValueError, match="images: expected shape"):
        used.add(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match="one at a time"):
        used.add(torch.zeros(2, 3, SIZE, SIZE))
    with pytest.raises(ValueError, match="finite"):
        session().edit(images[0], [], float("nan"))
