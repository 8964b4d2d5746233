"""Stylecodes and maps made in parts: the same bits as at once, in any order, and no more than is read."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from stylemap import EditSession
from stylemap.config import Config
from stylemap.engine.cpu import cells, stored
from stylemap.engine.cpu.cells import pieces
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.engine.cpu.stored import Maker, Stored
from stylemap.engine.images import Image
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from stylemap.program.ring import Indices
from tests.helpers import needs, tiny

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    needs.when(_native.loaded(), "the native library is not built"),
]

CONFIG = Config(
    size=128,
    latent_channel_size=8,
    latent_spatial_size=8,
    mapping_layer_num=1,
    channel_table={4: 8, 8: 40, 16: 24, 32: 36, 64: 20, 128: 12},
)
MODEL = recipe_model(CONFIG)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that grids of few cells have many blocks, of both sizes."""
    for name, value in {"_CODES_SIDE": 8, "_MAPS_SIDE": 8}.items():
        monkeypatch.setattr(stored, name, value)
    for name, value in {"_BLOCK": 8, "_LARGE_BLOCK": 16, "_LARGE_SIDE": 128}.items():
        monkeypatch.setattr(cells, name, value)


def maker(plan: CpuPlan, dtype: torch.dtype = torch.float32) -> Maker:
    return Maker(plan, dtype, lambda count, reuse: None)


def image_of(plan: CpuPlan, seed: int = 0) -> Image:
    shape = CONFIG.stylemap_shape
    return Image(0, torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)))


def whole(plan: CpuPlan, image: Image, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """All codes and maps, made at once."""
    codes = [torch.empty(r * r, c) for c, r, _ in CONFIG.stylecode_shapes]
    maps = [torch.empty(plan.maps_shape(i), dtype=dtype) for i in range(len(codes))]
    plan.write(image.w, codes, maps)
    return codes, maps


def box(chance: random.Random, side: int) -> Indices:
    top, left = chance.randrange(side), chance.randrange(side)
    rows = np.arange(top, min(side, top + chance.randint(1, side // 2)))
    columns = np.arange(left, min(side, left + chance.randint(1, side // 2)))
    return (rows[:, None] * side + columns).ravel()


def read(made: Stored, index: int, cells: Indices, part: str) -> Tensor:
    grid = (made.codes if part == "codes" else made.maps)[index]
    assert grid.made[grid.blocks(cells)].all()
    return grid.rows[torch.from_numpy(cells)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tile", [2, 4, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_parts_in_any_order_have_the_bits_of_the_whole(
    precision: str, tile: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random boxes of random layers, also at the borders of the frame, and the rest at the end."""
    chosen = min(tile, 4) if precision == "bf16" else tile
    monkeypatch.setattr(
        "stylemap.engine.cpu.convolution.tile_of",
        lambda layer, outputs, precision: 2 if layer.mode.value != "plain" else chosen,
    )
    plan = CpuPlan(MODEL, precision)
    image, chance = image_of(plan), random.Random(f"{precision} {tile}")
    codes, maps = whole(plan, image, dtype)
    making = maker(plan, dtype)
    made = making.new(image)
    with plan.arena() as arena:
        for _ in range(25):
            index = chance.randrange(len(codes))
            cells = box(chance, CONFIG.stylecode_shapes[index][1])
            part = chance.choice(["codes", "maps"])
            getattr(making, part)(arena, made, index, cells)
            expected = codes[index] if part == "codes" else maps[index].view(-1, maps[index].shape[3])
            assert torch.equal(read(made, index, cells, part), expected[torch.from_numpy(cells)])
    assert made.code_bytes < sum(code.nbytes for code in codes) or made.map_bytes < sum(
        m.nbytes for m in maps
    )
    making.complete(made)
    assert made.ready
    assert all(torch.equal(grid.values, expected) for grid, expected in zip(made.maps, maps, strict=True))
    with plan.arena() as arena:
        for index, code in enumerate(codes):
            making.codes(arena, made, index, np.arange(len(code)))
            assert torch.equal(made.codes[index].rows, code)
    assert made.code_bytes == sum(code.nbytes for code in codes)
    assert made.map_bytes == sum(each.nbytes for each in maps)


def test_rectangles_cover_what_is_wanted_once() -> None:
    chance = np.random.default_rng(3)
    for share in (0.02, 0.3, 0.6, 1.0):
        wanted = chance.random((13, 9)) < share
        covered = np.zeros(wanted.shape, dtype=int)
        for rows, columns in pieces(wanted, 12):
            covered[rows, columns] += 1
            assert covered[rows, columns].size <= 12
        assert covered.max(initial=0) <= 1
        assert (covered[wanted] == 1).all()


def session(**options: object) -> tuple[EditSession, CpuRenderer]:
    found = EditSession(MODEL, **options)  # type: ignore[arg-type]
    assert isinstance(found.renderer, CpuRenderer)
    return found, found.renderer


def photos(count: int) -> Tensor:
    return torch.nn.functional.interpolate(tiny.photos(count), size=CONFIG.size, mode="bilinear")


def square(top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(CONFIG.size, CONFIG.size)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_a_reference_holds_what_is_under_its_mask() -> None:
    used, renderer = session()
    original, reference = (used.add(photo) for photo in photos(2))
    stats = used.stats()
    assert stats["map_bytes"] == sum(np.prod(shape) for shape in renderer._maker.map_shapes) * 4
    used.edit(original, used.reference(reference, square(40, 60, 32), (9, -17)))
    first, second = renderer._cache
    assert {first.ready, second.ready} == {True, False}
    held = min(first.map_bytes, second.map_bytes)
    assert held < 0.45 * stats["map_bytes"]
    before = used.stats()
    used.edit(original, used.reference(reference, square(41, 61, 31), (9, -17)))
    assert used.stats()["cache_bytes"] == before["cache_bytes"]
    used.edit(reference)
    assert all(entry.ready for entry in renderer._cache)
    assert used.stats()["map_bytes"] == 2 * stats["map_bytes"]


@pytest.mark.parametrize("stored_as", ["fp32", "fp16", "bf16"])
def test_edits_have_the_same_bits_whatever_came_before(stored_as: str) -> None:
    """One session makes everything at the first edit, one has made it all before; small and shifted masks,
    over borders, overlapping, with weights, of the original itself, after evictions, by mix and preview."""
    fresh = lambda: session(cache_precision=stored_as)  # noqa: E731
    used, renderer = fresh()
    tight, _ = session(cache_precision=stored_as, cache_bytes=renderer.entry_bytes)
    pictures = photos(4)
    handles, others = ([each.add(photo) for photo in pictures] for each in (used, tight))
    for entry in renderer._cache:
        renderer._maker.complete(entry)
    chance = random.Random(7)
    for number in range(12):
        original = chance.randrange(4)
        parts = [
            (
                chance.randrange(4),
                square(chance.randrange(-30, 120) % 120, chance.randrange(120), chance.randrange(4, 70)),
                (chance.randrange(-90, 90), chance.randrange(-90, 90)),
            )
            for _ in range(chance.randint(1, 3))
        ]
        weight, preview = chance.choice([1.0, 0.6]), number % 4 == 3
        results = []
        for each, found in ((used, handles), (tight, others), (fresh()[0], None)):
            found = found or [each.add(photo) for photo in pictures]
            references = [each.reference(found[image], mask, shift) for image, mask, shift in parts]
            results.append(each.edit(found[original], references, weight, preview=preview))
            if number % 3 == 0:
                results[-1] = torch.cat([results[-1], each.mix(found[original], found[parts[0][0]])])
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
    assert tight.stats()["evictions"] > 0


def test_an_image_that_comes_back_is_made_again() -> None:
    used, renderer = session()
    original, first, second = (used.add(photo) for photo in photos(3))
    mask = square(30, 30, 40)
    before = used.edit(original, used.reference(first, mask))
    renderer._cache.limit = used.stats()["cache_bytes"]
    used.edit(original, used.reference(second, mask))
    stats = used.stats()
    assert stats["evictions"] == 1
    assert stats["cache_bytes"] <= stats["cache_limit_bytes"]
    assert torch.equal(used.edit(original, used.reference(first, mask)), before)


def test_the_memory_of_an_original_that_is_gone_is_used_again() -> None:
    used, renderer = session()
    first, second = (used.add(photo) for photo in photos(2))
    (entry,) = (each for each in renderer._cache if each.ready)
    pointers = [each.values.data_ptr() for each in entry.maps]
    used.remove(first)
    assert renderer._maker.spare_bytes == entry.map_bytes
    used.edit(second)
    (again,) = renderer._cache
    assert [each.values.data_ptr() for each in again.maps] == pointers
    assert renderer._maker.spare_bytes == 0
    used.clear()
    assert renderer._maker.spare_bytes == 0


def test_two_sessions_of_one_plan_in_threads() -> None:
    plan = CpuPlan(MODEL)
    pictures = photos(3)

    def strokes(seed: int) -> list[Tensor]:
        used = EditSession(MODEL, plan=plan)
        original, *others = [used.add(photo) for photo in pictures]
        chance = random.Random(seed)
        return [
            used.edit(original, used.reference(chance.choice(others), square(at, 2 * at, 24), (at, -3)))
            for at in range(0, 50, 10)
        ]

    expected = [strokes(seed) for seed in (1, 2)]
    results: dict[int, list[Tensor]] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: results.update({seed: strokes(seed)})) for seed in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(results[seed], expected[seed - 1], strict=True))


@pytest.mark.parametrize("stored_as", ["fp16", "bf16"])
def test_an_original_in_half_precision_is_kept_once(stored_as: str) -> None:
    """In float32 while it is the original, in half of that once another one is."""
    used, renderer = session(cache_precision=stored_as)
    first, second = (used.add(photo) for photo in photos(2))
    size = sum(int(np.prod(shape)) for shape in renderer._maker.map_shapes)
    assert (used.stats()["map_bytes"], renderer._maker.float32_bytes) == (2 * size, 2 * size)
    one, _ = renderer._cache
    assert all(each.values.dtype == torch.float32 for each in one.maps)
    before = used.edit(first)
    used.edit(second)
    assert (used.stats()["map_bytes"], renderer._maker.float32_bytes) == (4 * size, 2 * size)
    assert all(each.values.dtype == renderer._dtype for each in one.maps)
    assert torch.equal(used.edit(first), before)
    assert torch.equal(used.mix(first, first), used.mix(first, first))
    used.remove(first)
    used.edit(second)
    used.clear()
    assert renderer._maker.float32_bytes == used.stats()["working_bytes"] == 0
