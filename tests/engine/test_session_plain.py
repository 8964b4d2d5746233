"""Sessions on devices that have no plan: the same results, by the model itself, and a word about it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap import EditSession, edit
from stylemap.ops import _native
from tests.helpers import tiny
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.usefixtures("one_thread")


def check(used: EditSession, limit: float) -> None:
    """Every edit of a session against `stylemap.edit`."""
    model, ws = tiny.model(torch.float64), tiny.stylemaps(2, dtype=torch.float64)
    a, b = (used.add(photo) for photo in tiny.photos(2))
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 8:25] = 1
    direction = torch.ones(tiny.CHANNELS, tiny.CELLS, tiny.CELLS)
    weights = [0.0, 0.5, 1.0]
    boxes = [((0, 1), (2, 0), 2, 3)]
    with torch.no_grad():
        expected = {
            "frames": edit.blend(model, ws[:1], [ws[1:]], [mask], [(5, -6)], weights),
            "original": model.decode(ws[:1]),
            "mix": edit.mix_styles(model, ws[:1], ws[1:], "fine"),
            "interpolate": edit.interpolate(model, ws[:1], ws[1:], weights),
            "transplant": model.decode(edit.transplant(ws[:1], ws[1:], boxes)),
            "manipulate": model.decode(edit.manipulate(ws[:1], direction.double(), 2.0)),
        }
    actual: dict[str, Tensor] = {
        "frames": used.frames(a, [used.reference(b, mask, (5, -6))], weights),
        "original": used.edit(a)[None],
        "mix": used.mix(a, b, "fine")[None],
        "interpolate": used.interpolate(a, b, weights),
        "transplant": used.transplant(a, b, boxes)[None],
        "manipulate": used.manipulate(a, direction, 2.0)[None],
    }
    for name, value in expected.items():
        assert actual[name].dtype == torch.float32
        assert relative_error(actual[name].cpu(), value) < limit, name
    assert torch.equal(used.edit(used.add_stylemap(used.stylemap(a))), used.edit(a))
    assert used.stats()["images"] == 3
    used.remove(a)
    used.clear()
    assert used.stats()["images"] == 0


def test_without_native_kernels(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(_native, "why_missing", lambda device: "no compiler was found\nlong story")
    with caplog.at_level("INFO"):
        used = EditSession(tiny.model())
    assert "edits on cpu run the model itself, without a cache: no compiler was found" in caplog.text
    assert "long story" not in caplog.text
    check(used, 1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_on_a_gpu(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    check(
        EditSession(tiny.model(), device="cuda", precision=precision), tolerance("network", precision, "cuda")
    )


def test_a_device_that_is_not_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ValueError, match="device 'cuda' is not available"):
        EditSession(tiny.model(), device="cuda")
