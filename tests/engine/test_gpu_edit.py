"""Edits by the GPU renderer on a CPU, recorded and replayed, against `stylemap.edit` in float64."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylemap import EditSession, edit
from stylemap.engine.gpu.plan import DTYPES, GpuLowering, GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.images import Edit, EditReference, Image, ImageHandle, edit_reference
from stylemap.engine.renderer import PlainRenderer
from tests.engine import test_session as cases
from tests.engine.test_session import LAYERS, NORMS, WEIGHT, Layers, box, exact, model, photos, stylemaps
from tests.helpers.goldens import relative_error
from tests.helpers.recorder import GraphRecorder
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def opened(norm: str = "LayerNorm", small: bool = False, precision: str = "fp64") -> GpuRenderer:
    """Shared by many examples: what graphs were captured for earlier edits must not matter."""
    plan = GpuPlan(model(norm, small), "cpu", precision, capture=GraphRecorder())
    cache = torch.float64 if precision == "fp64" else DTYPES[precision]
    return GpuRenderer(plan, 1 << 30, cache)


@functools.cache
def images(norm: str = "LayerNorm", small: bool = False, precision: str = "fp64") -> list[Image]:
    used = opened(norm, small, precision)
    return [Image(i, used.own(w[None])) for i, w in enumerate(stylemaps(norm, small))]


def parts(layers: Layers) -> list[EditReference]:
    config = model().config
    return [edit_reference(ImageHandle(image), mask, shift, config) for image, mask, shift in layers]


def edited(
    layers: Layers,
    weights: Sequence[float],
    norm: str = "LayerNorm",
    small: bool = False,
    precision: str = "fp64",
) -> Tensor:
    used, known = opened(norm, small, precision), images(norm, small, precision)
    return used.frames(Edit(known[0], parts(layers), [known[image] for image, _, _ in layers]), weights)


@settings(max_examples=50, deadline=None)
@given(LAYERS, WEIGHT)
def test_any_edit(layers: Layers, weight: float) -> None:
    assert relative_error(edited(layers, [weight]), exact(layers, [weight])) < tolerance("network", "fp64")


@settings(max_examples=15, deadline=None)
@given(LAYERS, st.booleans(), st.sampled_from(NORMS), WEIGHT)
def test_all_generators_and_norms(layers: Layers, small: bool, norm: str, weight: float) -> None:
    actual = edited(layers, [weight], norm, small)
    assert relative_error(actual, exact(layers, [weight], norm, small)) < tolerance("network", "fp64")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_and_precision(norm: str, small: bool, precision: str) -> None:
    layers = [(1, box(5, 9, 30, 22), (13, -6)), (2, box(20, 20, 30, 40), (0, 0))]
    expected = exact(layers, [0.3, 1.0], norm, small)
    # oneDNN rounds half precision differently on processors that compute in it.
    with torch.backends.mkldnn.flags(enabled=False):
        for _ in range(2):
            actual = edited(layers, [0.3, 1.0], norm, small, precision)
            assert relative_error(actual, expected) < tolerance("network", precision)


@settings(max_examples=15, deadline=None)
@given(LAYERS, st.lists(WEIGHT, min_size=1, max_size=4))
def test_strips(layers: Layers, weights: list[float]) -> None:
    strip = edited(layers, weights)
    assert relative_error(strip, exact(layers, weights)) < tolerance("network", "fp64")
    assert torch.equal(strip, torch.cat([edited(layers, [weight]) for weight in weights]))


@settings(max_examples=8, deadline=None)
@given(st.lists(LAYERS, min_size=2, max_size=3))
def test_a_sequence_of_edits_equals_each_from_scratch(strokes: list[Layers]) -> None:
    for layers in strokes:
        fresh = GpuRenderer(opened().plan, 1 << 30, torch.float64)
        chosen = [images()[image] for image, _, _ in layers]
        assert torch.equal(
            fresh.frames(Edit(images()[0], parts(layers), chosen), [1.0]), edited(layers, [1.0])
        )


def test_a_moving_brush_keeps_its_graph() -> None:
    recorder = GraphRecorder()
    used = GpuRenderer(GpuPlan(model(), "cpu", "fp32", capture=recorder), 1 << 30, torch.float32)
    known = [Image(i, used.own(w[None])) for i, w in enumerate(stylemaps())]
    for step in range(20):
        layers = [(1, box(2 * step, step + 8, 18, 18), (step - 10, 5 - step))]
        actual = used.frames(Edit(known[0], parts(layers), known[1:2]), [1.0])
        assert relative_error(actual, exact(layers, [1.0])) < tolerance("network", "fp32")
    assert recorder.captures <= 3
    assert recorder.replays >= 17


def test_extrapolation_and_the_original_moved_over_itself() -> None:
    layers = [(1, box(4, 4, 40, 40), (9, 0)), (2, box(30, 20, 30, 40), (0, -8))]
    assert relative_error(edited(layers, [-0.5, 1.5]), exact(layers, [-0.5, 1.5])) < tolerance(
        "network", "fp64"
    )
    layers = [(0, box(10, 10, 30, 30), (7, 12)), (0, box(30, 30, 20, 20), (-21, 0))]
    assert relative_error(edited(layers, [1.0]), exact(layers, [1.0])) < tolerance("network", "fp64")


@pytest.mark.parametrize("own", [(0.5, 0.5), (0.25, 1.0), (0.0, 0.8)])
@pytest.mark.parametrize("left", [10, 34])
def test_references_of_their_own_weights(own: tuple[float, float], left: int) -> None:
    """Beside each other or overlapping; as the model itself blends them."""
    shapes, config = [box(5, 9, 28, 22), box(left, 20, 20, 30)], model().config
    references = [
        edit_reference(ImageHandle(number), mask, shift, config, weight)
        for number, mask, shift, weight in zip((1, 2), shapes, ((0, 0), (3, -6)), own, strict=True)
    ]
    edited = Edit(images()[0], references, images()[1:3])
    actual = opened().frames(edited, [0.7, 1.0])
    expected = PlainRenderer(model()).frames(edited, [0.7, 1.0])
    assert relative_error(actual, expected) < tolerance("network", "fp32")


@pytest.mark.parametrize("chosen", [{0, 1}, {2, 3, 4}, set(), {9}])
def test_mix(chosen: set[int]) -> None:
    expected = edit.mix_styles(model(), stylemaps()[:1], stylemaps()[1:2], chosen)
    for _ in range(2):
        assert relative_error(opened().mix(*images()[:2], chosen), expected) < tolerance("network", "fp64")
    assert torch.equal(edited([], [1.0]), opened().mix(images()[0], images()[1], set()))


def test_without_graphs() -> None:
    plan = GpuPlan(model(), "cpu", "fp64", capture=GraphRecorder(failing=True))
    used = GpuRenderer(plan, 1 << 30, torch.float64)
    layers = [(1, box(5, 9, 30, 22), (13, -6))]
    for weight in (0.0, 0.5, 1.0):
        actual = used.frames(Edit(images()[0], parts(layers), images()[1:2]), [weight])
        assert torch.equal(actual, edited(layers, [weight]))
    assert used.stats()["captured_graphs"] == 0


def test_a_failed_edit_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    used = GpuRenderer(GpuPlan(model(), "cpu", "fp64"), 1 << 30, torch.float64)
    layers = [(1, box(5, 9, 30, 22), (13, -6))]

    def fails(*_: object) -> Tensor:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(GpuLowering, "to_rgb", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            used.frames(Edit(images()[0], parts(layers), images()[1:2]), [1.0])
    assert torch.equal(used.frames(Edit(images()[0], [], []), [1.0]), edited([], [1.0]))


def test_memory_is_bounded() -> None:
    used = GpuRenderer(GpuPlan(model(), "cpu", "fp16", capture=GraphRecorder()), 0, torch.float16)
    entry = used.entry_bytes
    used._cache.limit = 3 * entry
    known = [Image(i, used.own(w[None])) for i, w in enumerate(stylemaps())]
    known += [Image(10 + i, image.w) for i, image in enumerate(known)]
    choose = random.Random(0)
    for _ in range(60):
        original, other = choose.sample(known, 2)
        layers = [(1, box(choose.randrange(40), choose.randrange(40), 20, 20), (choose.randrange(-9, 9), 3))]
        used.frames(Edit(original, parts(layers), [other]), [choose.choice([0.5, 1.0])])
        stats = used.stats()
        assert stats["cache_bytes"] <= 3 * entry
        assert stats["working_bytes"] < 1.1 * entry
    assert stats["evictions"] > 10
    assert stats["activation_bytes"] < 40 * entry
    used.cleared()
    assert used.stats()["working_bytes"] == used.stats()["cached_images"] == 0


def test_values_beyond_fp16_are_refused() -> None:
    used = GpuRenderer(GpuPlan(model(), "cpu", "fp32"), 1 << 30, torch.float16)
    with pytest.raises(ValueError, match="leave the range of fp16"):
        used.added(Image(0, 1e5 * stylemaps()[:1].float()))


def test_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's own tests, on this plan."""
    plan = GpuPlan(model(), "cpu", "fp32", capture=GraphRecorder())
    used = EditSession(model(), plan=plan)
    handles = [used.add(photo) for photo in photos()]
    monkeypatch.setattr(cases, "opened", lambda *_: (used, handles))
    cases.test_masks_as_blend_takes_them()
    cases.test_a_reference_keeps_its_mask()
    cases.test_mix("fine")
    cases.test_interpolate_transplant_manipulate()
    cases.test_a_stylemap_as_an_image()
    assert used.stats()["images"] == 3
    with pytest.raises(ValueError, match="the plan is for the CPU, fp32"):
        EditSession(model(), precision="bf16", plan=plan)
    half = EditSession(model(), precision="fp16", plan=GpuPlan(model(), "cpu", "fp16"))
    assert relative_error(half.edit(half.add(photos()[0]))[None], exact([], [1.0])) < tolerance(
        "network", "fp16"
    )
    used.clear()


def test_the_default_device_does_not_matter() -> None:
    """Nothing is made on a device that was not named: on this one it would have no values."""
    layers = [(1, box(5, 9, 30, 22), (13, -6)), (2, box(20, 20, 30, 40), (0, 0))]
    pictures = photos()
    with torch.device("meta"):
        plan = GpuPlan(model(), "cpu", "fp32", capture=GraphRecorder())
        used = EditSession(model(), plan=plan)
        handles = [used.add(photo) for photo in pictures]
        references = [used.reference(handles[image], mask, shift) for image, mask, shift in layers]
        for _ in range(2):
            strip = used.frames(handles[0], references, [0.3, 1.0])
            used.mix(handles[0], handles[1])
            used.interpolate(handles[0], handles[1], [0.5])
    assert used.stats()["captured_graphs"] >= 4
    assert relative_error(strip, exact(layers, [0.3, 1.0])) < tolerance("network", "fp32")


def test_threads() -> None:
    plan = GpuPlan(model(), "cpu", "fp32", capture=GraphRecorder())
    sessions = [EditSession(model(), plan=plan) for _ in range(2)]
    opened = [(used, [used.add(photo) for photo in photos()]) for used in sessions]
    masks = [box(4 * i, 8, 20, 30) for i in range(4)]

    def run(i: int) -> Tensor:
        used, known = opened[i % 2]
        return used.edit(known[0], [used.reference(known[1 + i % 2], masks[i], (3 * i, 0))])

    expected, results = [run(i) for i in range(4)], {}

    def work(i: int) -> None:
        torch.set_num_threads(1)
        results[i] = [run(i) for _ in range(4)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(image, expected[i]) for i in range(4) for image in results[i])
