"""Edits that write what differs from the last one: the same bits whatever came before, and no more writes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from stylemap import EditSession
from stylemap.engine.cpu import edits
from stylemap.engine.cpu.cells import Difference
from stylemap.engine.cpu.edits import Original
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.engine.images import EditReference, ImageHandle
from stylemap.engine.renderer import PlainRenderer
from stylemap.ops import _native
from tests.helpers import needs, tiny
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    needs.when(_native.loaded(), "the native library is not built"),
]

SIZE = tiny.SIZE


def opened(**options: object) -> tuple[EditSession, CpuRenderer, list[ImageHandle]]:
    used = EditSession(tiny.model(), **options)  # type: ignore[arg-type]
    assert isinstance(used.renderer, CpuRenderer)
    return used, used.renderer, [used.add(photo) for photo in tiny.photos(3)]


def stroke(chance: random.Random, stamps: int) -> Tensor:
    """Squares along a line."""
    mask, side = torch.zeros(SIZE, SIZE), chance.choice([3, 6, 9])
    x, y = chance.randrange(SIZE), chance.randrange(SIZE)
    dx, dy = chance.randrange(-3, 4), chance.randrange(-3, 4)
    for step in range(stamps):
        top, left = max(0, y + step * dy), max(0, x + step * dx)
        mask[top : top + side, left : left + side] = 1
    return mask


def written(monkeypatch: pytest.MonkeyPatch) -> list[Difference]:
    """What is written from now on, of every stylecode."""
    found: list[Difference] = []
    write = edits.Writing.write

    def noted(self: edits.Writing, arena: object, todo: Difference, *rest: object) -> None:
        found.append(todo)
        write(self, arena, todo, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(edits.Writing, "write", noted)
    return found


@pytest.mark.parametrize("stored_as", ["fp32", "fp16", "bf16"])
def test_strokes_have_the_bits_of_each_frame_alone(stored_as: str) -> None:
    """Masks grow, move and shrink, with several weights, of other originals, the original itself, and strips,
    previews and mixes between."""
    used, _, handles = opened(cache_precision=stored_as)
    fresh, renderer, others = opened(cache_precision=stored_as)
    chance = random.Random(stored_as)
    for _ in range(5):
        original, seed = chance.choice([0, 0, 1]), chance.random()
        parts = [
            (
                chance.randrange(3),
                (chance.choice([0, 5, -11]), chance.choice([0, 0, 7])),
                chance.choice([1, 1, 0.4]),
            )
            for _ in range(chance.randint(1, 2))
        ]
        weight = chance.choice([1.0, 1.0, 0.7, 0.0])
        for frame in (1, 2, 3, 5, 5, 4, 8):
            layers = [
                (image, stroke(random.Random(f"{seed} {number}"), frame), shift, part)
                for number, (image, shift, part) in enumerate(parts)
            ]
            weights = chance.choice([[weight], [weight], [weight], [0.0, 0.3, 1.0]])
            kind, results = chance.choice(["frames", "frames", "frames", "preview", "mix"]), []
            # All that came before is forgotten, and only then.
            fresh.clear()
            others = [fresh.add(photo) for photo in tiny.photos(3)]
            for session, found in ((used, handles), (fresh, others)):
                references = [
                    session.reference(found[image], mask, shift, part) for image, mask, shift, part in layers
                ]
                if kind == "preview":
                    results.append(session.edit(found[original], references, weight, preview=True))
                elif kind == "mix":
                    results.append(session.mix(found[original], found[2]))
                else:
                    results.append(session.frames(found[original], references, weights))
            assert torch.equal(results[0], results[1])
    assert renderer.stats()["cached_images"] == 3


@pytest.mark.parametrize("stored_as", ["fp32", "bf16"])
def test_an_original_gets_its_bits_back(stored_as: str) -> None:
    used, renderer, (a, b, _) = opened(cache_precision=stored_as)
    entry = next(each for each in renderer._cache if each.ready)
    before = [each.values.clone() for each in entry.maps]
    for stamps in (2, 4, 9, 3):
        used.edit(a, used.reference(b, stroke(random.Random(1), stamps), (4, 0)), 0.5)
    assert isinstance(renderer._painted, Original)
    assert used.stats()["working_bytes"] > 0
    assert any(not torch.equal(each.values, old) for each, old in zip(entry.maps, before, strict=True))
    used.edit(a)
    assert all(torch.equal(each.values, old) for each, old in zip(entry.maps, before, strict=True))
    used.edit(b)
    assert all(torch.equal(each.values.float(), old) for each, old in zip(entry.maps, before, strict=True))


def test_a_growing_stroke_writes_what_it_grows_by(monkeypatch: pytest.MonkeyPatch) -> None:
    used, renderer, (a, b, _) = opened()
    found = written(monkeypatch)
    mask = torch.zeros(SIZE, SIZE)
    mask[4:28, 4:20] = 1
    used.edit(a, used.reference(b, mask, (8, 0)))
    first = sum(len(each.cells) for each in found)
    assert first
    found.clear()
    used.edit(a, used.reference(b, mask, (8, 0)))
    assert not found
    mask[4:28, 20:22] = 1
    used.edit(a, used.reference(b, mask, (8, 0)))
    # Along one edge of four, and what was its ring inside.
    assert 0 < sum(len(each.cells) for each in found) < first / 2
    assert renderer._painted is not None
    changed = sum(len(each.changed()) * len(each.rows) for each in renderer._painted.painted.values())
    assert changed > first
    found.clear()
    used.edit(a, used.reference(b, mask, (8, 0)), 0.5)
    # Another weight: all of it.
    assert sum(len(each.cells) for each in found) == changed


def test_saved_rows_take_no_more_than_the_largest_edit() -> None:
    used, renderer, (a, b, _) = opened()
    sizes = []
    for left in range(0, SIZE - 8, 2):
        mask = torch.zeros(SIZE, SIZE)
        mask[8:16, left : left + 8] = 1
        used.edit(a, used.reference(b, mask))
        assert renderer._painted is not None
        of = renderer._painted.painted[SIZE]
        sizes.append(len(of.changed()))
        assert of._top <= max(sizes)
        slots = of._slots[of._slots >= 0]
        assert len(np.unique(slots)) == len(slots) == sizes[-1]
    used.edit(a)
    assert renderer._painted is not None
    assert renderer._painted.bytes == 0


def test_a_failure_leaves_the_original_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    used, _, (a, b, _) = opened()
    plain = used.edit(a)

    def reference(stamps: int) -> EditReference:
        return used.reference(b, stroke(random.Random(3), stamps), (2, 2))

    expected = used.edit(a, reference(6))
    used.edit(a, reference(2))
    convolve, left = edits.convolve_tiles, [2]

    def failing(*args: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError
        convolve(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(edits, "convolve_tiles", failing)
        with pytest.raises(MemoryError):
            used.edit(a, reference(6))
    assert torch.equal(used.edit(a, reference(6)), expected)
    assert torch.equal(used.edit(a), plain)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.25, 1.0), (1.0, 0.6), (0.0, 0.8)])
@pytest.mark.parametrize("apart", [True, False])
def test_references_of_their_own_weights(weights: tuple[float, float], apart: bool) -> None:
    used, _, handles = opened()
    model = tiny.model(torch.float64)
    plain = EditSession(model, renderer=PlainRenderer(model))
    copies = [plain.add_stylemap(used.stylemap(handle).double()) for handle in handles]
    masks = torch.zeros(2, SIZE, SIZE)
    masks[0, 2:20, 3:14] = 1
    masks[1, 6:30, 14 if apart else 9 : 27] = 1
    results = []
    for session, (a, *others) in ((used, handles), (plain, copies)):
        references = [
            session.reference(image, mask, shift, weight)
            for image, mask, shift, weight in zip(others, masks, ((0, 0), (3, -2)), weights, strict=True)
        ]
        results.append(session.frames(a, references, [0.8, 1.0]))
        assert torch.equal(session.edit(a, references), results[-1][1])
    assert relative_error(results[0], results[1]) < tolerance("network", "fp32")


def test_the_weight_of_a_reference_is_a_number() -> None:
    used, _, (a, *_) = opened()
    with pytest.raises(ValueError, match="weight: expected a finite number, got nan"):
        used.reference(a, torch.ones(SIZE, SIZE), weight=float("nan"))
    assert "weight 0.5" in repr(used.reference(a, torch.ones(SIZE, SIZE), weight=0.5))
