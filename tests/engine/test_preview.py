"""Previews are approximations: how good, and what they must not touch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import EditSession
from stylemap.config import Config
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.images import EditReference, ImageHandle
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from stylemap.program import Box
from tests.helpers import needs, tiny
from tests.helpers.goldens import relative_error

SIZE = 256

pytestmark = [
    needs.when(_native.loaded(), "the native library is not built"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def opened(norm: str = "LayerNorm") -> tuple[EditSession, list[ImageHandle]]:
    config = Config(
        size=SIZE,
        latent_channel_size=12,
        latent_spatial_size=8,
        mapping_layer_num=2,
        normalize_mode=norm,
        channel_table={8: 40, 16: 24, 32: 16, 64: 16, 128: 8, 256: 8},
    )
    used = EditSession(recipe_model(config, torch.float64))
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(3, 3, 12, 12, generator=generator) * 2 - 1
    photos = F.interpolate(coarse, size=SIZE, mode="bicubic").clamp(-1, 1)
    return used, [used.add(photo) for photo in photos]


def session() -> EditSession:
    return opened()[0]


def handles() -> list[ImageHandle]:
    return opened()[1]


def box(x: int, y: int, width: int, height: int) -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[y : y + height, x : x + width] = 1
    return mask


def part(mask: Tensor, shift: tuple[int, int] = (0, 0), image: int = 1) -> EditReference:
    return session().reference(handles()[image], mask, shift)


EDITS: dict[str, Callable[[], list[EditReference]]] = {
    "brush": lambda: [part(box(100, 84, 48, 40), (12, -8))],
    "corner": lambda: [part(box(0, 0, 56, 64))],
    "two": lambda: [part(box(80, 104, 30, 30)), part(box(100, 120, 32, 24), (4, 0), 2)],
    "dot": lambda: [part(box(120, 120, 3, 3))],
}


@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize("name", EDITS)
def test_most_of_the_change_is_there(name: str, weight: float) -> None:
    """Of the change near the masks 85 %, of all change half, which is less than with trained weights."""
    used, original, references = session(), handles()[0], EDITS[name]()
    before, exact = used.edit(original), used.edit(original, references, weight)
    shown = used.edit(original, references, weight, preview=True)
    assert not torch.equal(shown, exact), "it was not an approximation"
    near = shown_box(references)
    rows, columns = near.at(SIZE)
    change, error = (float((x - exact)[:, rows, columns].norm()) for x in (before, shown))
    assert error < 0.15 * change
    assert relative_error(shown, exact) < 0.6 * relative_error(before, exact)


def shown_box(references: list[EditReference]) -> Box:
    renderer = session().renderer
    assert isinstance(renderer, CpuRenderer)
    found = renderer._preview.box(references)
    assert found is not None
    return found


@pytest.mark.parametrize("name", EDITS)
def test_far_from_the_masks_it_is_the_original(name: str) -> None:
    used, original, references = session(), handles()[0], EDITS[name]()
    shown, before = used.edit(original, references, preview=True), used.edit(original)
    outside = torch.ones(3, SIZE, SIZE, dtype=torch.bool)
    rows, columns = shown_box(references).at(SIZE)
    outside[:, rows, columns] = False
    assert outside.any()
    assert relative_error(shown[outside], before[outside]) < 1e-6


def test_nothing_else_is_approximated_and_history_does_not_matter() -> None:
    used, original = session(), handles()[0]
    references = EDITS["brush"]()
    exact, first = used.edit(original, references), used.edit(original, references, preview=True)
    used.edit(handles()[2], EDITS["dot"](), preview=True)
    used.edit(original, EDITS["two"](), 0.3, preview=True)
    assert torch.equal(used.edit(original, references), exact)
    assert torch.equal(used.edit(original, references, preview=True), first)


def test_with_fixed_statistics_the_middle_is_nearly_exact() -> None:
    """With BatchNorm2d nothing is frozen that was not: errors come from beyond the box."""
    used, images = opened("BatchNorm2d")
    references = [used.reference(images[1], box(100, 84, 48, 40))]
    exact, shown = used.edit(images[0], references), used.edit(images[0], references, preview=True)
    assert relative_error(shown[:, 84:124, 100:148], exact[:, 84:124, 100:148]) < 0.01


def test_where_little_can_be_gained_it_is_exact() -> None:
    used, original = session(), handles()[0]
    for references in ([part(box(9, 9, 220, 180))], [part(torch.zeros(SIZE, SIZE))], []):
        exact = used.edit(original, references)
        assert torch.equal(used.edit(original, references, preview=True), exact)
    references = EDITS["brush"]()
    assert torch.equal(used.edit(original, references, 0.0, preview=True), used.edit(original))
    plain = EditSession(tiny.model(), plan=GpuPlan(tiny.model(), "cpu", "fp32"))
    known = [plain.add(photo) for photo in tiny.photos(2)]
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[8, 8] = 1
    references = [plain.reference(known[1], mask)]
    assert torch.equal(plain.edit(known[0], references, preview=True), plain.edit(known[0], references))


def test_forgotten_images_leave_nothing() -> None:
    used, renderer = session(), session().renderer
    assert isinstance(renderer, CpuRenderer)
    copy = used.add_stylemap(used.stylemap(handles()[0]))
    used.edit(copy, EDITS["brush"](), preview=True)
    assert renderer._preview.bytes > 0
    used.remove(copy)
    assert renderer._preview.bytes == 0
    with pytest.raises(ValueError, match="finite"):
        used.edit(handles()[0], [], float("nan"), preview=True)


def test_the_box() -> None:
    outer = Box(8, 2, 4, 0, 3).grown(1)
    assert outer == Box(8, 1, 5, 0, 4)
    assert outer.share == 16 / 64
    assert outer.at(16) == (slice(2, 10), slice(0, 8))
