"""A model on its plan: the methods that edits and commands use give what the model gives."""

from __future__ import annotations

import pytest
import torch

from stylemap import EditSession, edit
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.plans import PlannedModel, for_inference, handed_over
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from tests.helpers import tiny
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def used() -> PlannedModel:
    found = for_inference(tiny.model(), CPU, "fp32")
    assert isinstance(found, PlannedModel)
    assert isinstance(found.plan, CpuPlan)
    return found


@pytest.mark.parametrize("batch", [1, 3])
def test_methods_are_the_models(used: PlannedModel, batch: int) -> None:
    exact = tiny.model(torch.float64)
    photos, z = torch.stack(list(tiny.photos(batch))), torch.randn(batch, tiny.CHANNELS)
    with torch.no_grad():
        w = exact.encode(photos.double())
        codes = exact.stylecodes(w)
        assert relative_error(used.encode(photos), w) < tolerance("network", "fp32")
        assert relative_error(used.decode(w.float()), exact.decode(w)) < tolerance("network", "fp32")
        assert relative_error(used(photos), exact(photos.double())) < tolerance("network", "fp32")
        assert relative_error(used.map(z), exact.map(z.double())) < tolerance("network", "fp32")
        assert relative_error(used.sample(z, 0.7), exact.sample(z.double(), 0.7)) < tolerance(
            "network", "fp32"
        )
        assert all(
            relative_error(a, b) < tolerance("network", "fp32")
            for a, b in zip(used.stylecodes(w.float()), codes, strict=True)
        )
        assert relative_error(
            used.synthesize([c.float() for c in codes]), exact.synthesize(codes)
        ) < tolerance("network", "fp32")


def test_edits_take_it_for_a_model(used: PlannedModel) -> None:
    exact, ws = tiny.model(torch.float64), tiny.stylemaps(2, dtype=torch.float64)
    a, b = ws.float().split(1)
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 8:25] = 1
    with torch.no_grad():
        for given, expected in (
            (edit.mix_styles(used, a, b), edit.mix_styles(exact, ws[:1], ws[1:])),
            (edit.local(used, a, b, mask), edit.local(exact, ws[:1], ws[1:], mask)),
            (edit.blend(used, a, [b], [mask]), edit.blend(exact, ws[:1], [ws[1:]], [mask])),
            (edit.interpolate(used, a, b, [0.2, 0.9]), edit.interpolate(exact, ws[:1], ws[1:], [0.2, 0.9])),
        ):
            assert relative_error(given, expected) < tolerance("network", "fp32")
    assert edit.latents(used, 2).shape == (2, tiny.CHANNELS)


def test_a_session_shares_the_plan(used: PlannedModel) -> None:
    session = EditSession.of(used, cache_bytes=1 << 20)
    (photo,) = tiny.photos(1)
    assert session.renderer.plan is used.plan
    assert torch.equal(session.edit(session.add(photo)), used(photo[None])[0])


def test_wrong_shapes_raise_as_the_model_does(used: PlannedModel) -> None:
    for call in (used.encode, used.decode, used.map):
        with pytest.raises(ValueError, match="expected"):
            call(torch.zeros(2, 3, 5, 5))


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_without_a_plan_the_model_runs(
    precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if precision != "fp16":
        monkeypatch.setattr(_native, "why_missing", lambda device: "no compiler was found\nlong story")
    with caplog.at_level("INFO"):
        found = for_inference(recipe_model(tiny.CONFIG), CPU, precision)
    assert isinstance(found, StyleMapGAN)
    assert next(found.parameters()).dtype == dtype
    why = "fp16 is for GPUs" if precision == "fp16" else "no compiler was found"
    assert f"no inference plan on cpu, the model itself runs: {why}" in caplog.text


def bytes_of(model: StyleMapGAN) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters() if not p.is_meta)


def test_a_released_model_computes_on_without_its_tensors() -> None:
    model, photo = recipe_model(tiny.CONFIG), tiny.photos(1)[0]
    released = for_inference(model, CPU, "fp32")
    assert isinstance(released, PlannedModel)
    z = torch.randn(2, tiny.CHANNELS)
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 8:25] = 1

    def results() -> list[torch.Tensor]:
        session = EditSession.of(released)
        a, b = session.add(photo), session.add_stylemap(released.map(z[:1]))
        return [released.map(z), released(photo[None]), session.edit(a, session.reference(b, mask))]

    before, whole = results(), bytes_of(model)
    released.release(sessions=True)
    assert bytes_of(model) < whole / 2
    assert all(torch.equal(one, other) for one, other in zip(results(), before, strict=True))


def test_sessions_of_a_released_model_are_announced() -> None:
    released = for_inference(recipe_model(tiny.CONFIG), CPU, "fp32")
    assert isinstance(released, PlannedModel)
    released.release(sessions=False)
    with pytest.raises(ValueError, match="no session of it was announced"):
        EditSession.of(released)


def test_only_a_model_with_a_plan_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recipe_model(tiny.CONFIG)
    assert handed_over(model, "fp16") is model
    assert isinstance(handed_over(model, "fp32"), PlannedModel)
    assert bytes_of(model) < bytes_of(recipe_model(tiny.CONFIG)) / 2
    monkeypatch.setattr(_native, "why_missing", lambda device: "no compiler was found")
    model = recipe_model(tiny.CONFIG)
    assert handed_over(model, "fp32") is model
