"""The cache of a session: bounded, counted, and invisible in the results."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from stylemap import EditSession
from stylemap.engine.images import Entry, Image, ImageCache
from stylemap.ops import _native
from tests.helpers import needs, tiny
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.usefixtures("one_thread")


def image(number: int) -> Image:
    return Image(number, torch.zeros(0))


def entry(count: int = 10) -> Entry:
    """Of so many bytes."""
    return Entry([torch.zeros(2, dtype=torch.uint8)], [torch.zeros(count - 2, dtype=torch.uint8)])


def cache(limit: int) -> tuple[ImageCache[Entry], list[int]]:
    """A cache of entries of 10 bytes, and the numbers it has built."""
    built: list[int] = []

    def build(image: Image) -> Entry:
        built.append(image.number)
        return entry()

    return ImageCache(build, 10, limit), built


def test_the_least_recently_used_goes_first() -> None:
    kept, built = cache(25)
    for number in (1, 2, 1, 3, 1, 2):
        with kept.hold([image(number)]):
            assert kept.bytes <= 25
    assert built == [1, 2, 3, 2]
    assert (kept.hits, kept.misses, kept.evictions, len(kept)) == (2, 4, 2, 2)


def test_held_images_stay_until_the_end(caplog: pytest.LogCaptureFixture) -> None:
    kept, built = cache(25)
    for _ in range(2):
        with kept.hold([image(1), image(2), image(1), image(3)]) as entries:
            assert len(kept) == 3
            assert entries[0] is entries[2]
        assert len(kept) == 2
    assert built == [1, 2, 3, 2]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "an edit needs 3 images" in caplog.text


def test_a_cache_that_is_too_small_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Three images take turns in room for two: the fourth that is made again says it, no other one."""
    kept, built = cache(25)
    lines = []
    for turn in range(20):
        with kept.hold([image(turn % 3)]):
            lines.append(len(caplog.records))
    assert len(built) == 20
    assert lines == [0] * 6 + [1] * 14
    assert "images are made again and again: 2 of them take 0 MB" in caplog.text


def test_images_that_come_for_the_first_time_or_come_back_seldom_are_no_reason_to_say_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, _ = cache(25)
    for number in range(40):
        with kept.hold([image(number)]):
            pass
    for number in range(20):
        for _ in range(8):
            with kept.hold([image(number)]):
                pass
    kept.drop(19)
    with kept.hold([image(19)]):
        pass
    assert not caplog.records


def test_entries_that_grow_make_room_for_themselves() -> None:
    """Those that nobody holds go first; the first of those held is the last to go."""
    gone: list[Entry] = []
    kept = ImageCache(lambda image: entry(), 10, 45, gone=gone.append)
    with kept.hold([image(number) for number in (1, 2, 3)]) as (first, second, third):
        pass
    with kept.hold([image(3), image(4)]) as (_, fourth):
        third.maps.append(torch.zeros(12, dtype=torch.uint8))
        kept.reserve(0)
        assert gone == [second]
        kept.reserve(5)
        assert gone == [second, first]
        kept.reserve(1000)
        assert (kept.code_bytes, kept.map_bytes, kept.bytes) == (4, 28, 32)
        fourth.maps.append(torch.zeros(20, dtype=torch.uint8))
    assert gone == [second, first, fourth]
    assert (kept.bytes, kept.evictions, len(kept)) == (22, 3, 1)
    kept.drop(3)
    assert (gone[3], kept.bytes) == (third, 0)


def test_without_room_nothing_is_kept_or_made_early() -> None:
    kept, built = cache(9)
    kept.prefetch(image(1))
    assert built == []
    with kept.hold([image(1)]) as entries:
        assert len(entries) == 1
    assert kept.bytes == 0


needs_plan = needs.when(_native.loaded(), "the native library is not built")


def random_mask(chance: random.Random) -> Tensor:
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    x, y = chance.randrange(24), chance.randrange(24)
    mask[y : y + chance.randrange(1, 20), x : x + chance.randrange(1, 20)] = 1
    return mask


@needs_plan
def test_bounded_over_many_edits_and_the_same_bits() -> None:
    roomy = EditSession(tiny.model())
    size = roomy.renderer.entry_bytes  # type: ignore[union-attr]
    tight = EditSession(tiny.model(), cache_bytes=5 * size)
    photos = tiny.photos(12)
    pairs = [(roomy.add(photo), tight.add(photo)) for photo in photos]
    chance = random.Random(5)
    for _ in range(60):
        chosen = [chance.choice(pairs) for _ in range(3)]
        layers = [(random_mask(chance), (chance.randrange(-8, 8), 0)) for _ in range(2)]
        results = []
        for used, side in ((roomy, 0), (tight, 1)):
            references = [
                used.reference(pair[side], mask, shift) for pair, (mask, shift) in zip(chosen[1:], layers)
            ]
            results.append(used.edit(chosen[0][side], references))
        assert torch.equal(*results)
        assert tight.stats()["cache_bytes"] <= 5 * size
    stats = tight.stats()
    assert stats["evictions"] > 0
    assert 5 <= stats["cached_images"] < 12
    assert stats["code_bytes"] + stats["map_bytes"] == stats["cache_bytes"] > 4 * size
    assert roomy.stats()["evictions"] == 0
    assert roomy.stats()["misses"] == 12


@needs_plan
def test_reported_bytes_are_those_of_the_tensors() -> None:
    used = EditSession(tiny.model())
    used.add(tiny.photos(1)[0])
    (kept,) = used.renderer._cache  # type: ignore[union-attr]
    stats = used.stats()
    assert stats["code_bytes"] == sum(code.values.numel() * 4 for code in kept.codes)
    assert stats["map_bytes"] == sum(maps.values.numel() * 4 for maps in kept.maps)
    assert stats["stylemap_bytes"] == 4 * tiny.CHANNELS * tiny.CELLS**2


@needs_plan
@pytest.mark.parametrize("stored", ["fp16", "bf16"])
def test_half_precision_takes_half_the_memory_of_maps(stored: str) -> None:
    exact, used = EditSession(tiny.model()), EditSession(tiny.model(), cache_precision=stored)
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[4:20, 8:25] = 1
    results = []
    for each in (exact, used):
        a, b = (each.add(photo) for photo in tiny.photos(2))
        references = [each.reference(b, mask, (5, 0)), each.reference(a, mask, (0, -6))]
        results.append(each.edit(a, references))
        assert torch.equal(each.edit(a, references), results[-1])
        assert each.mix(a, b, "fine").shape == results[-1].shape
    assert 0 < relative_error(results[1], results[0]) < tolerance("cache", stored)
    assert 2 * used.stats()["map_bytes"] == exact.stats()["map_bytes"]


@needs_plan
def test_remove_and_clear() -> None:
    used = EditSession(tiny.model(), cache_precision="fp16")
    first, second = (used.add(photo) for photo in tiny.photos(2))
    before = used.edit(second)
    used.edit(first)
    used.remove(first)
    assert used.stats()["images"] == used.stats()["cached_images"] == 1
    with pytest.raises(ValueError, match="not in this session"):
        used.edit(first)
    assert torch.equal(used.edit(second), before)
    used.clear()
    stats = used.stats()
    assert stats["images"] == stats["cache_bytes"] == stats["working_bytes"] == stats["stylemap_bytes"] == 0


@needs_plan
@pytest.mark.slow
def test_a_thousand_edits_over_fifty_images_stay_within_the_limit() -> None:
    used = EditSession(tiny.model())
    size = used.renderer.entry_bytes  # type: ignore[union-attr]
    used = EditSession(tiny.model(), cache_bytes=8 * size)
    handles = [used.add(photo) for photo in tiny.photos(50)]
    chance = random.Random(6)
    held = []
    for number in range(1000):
        original, *others = chance.sample(handles, 3)
        references = [used.reference(other, random_mask(chance)) for other in others]
        used.edit(original, references, chance.choice([0.5, 1.0]))
        stats = used.stats()
        spare = used.renderer._maker.spare_bytes  # type: ignore[union-attr]
        assert stats["cache_bytes"] + spare <= 8 * size
        if number >= 100:
            held.append(stats["working_bytes"] - spare + stats["activation_bytes"])
    assert max(held) <= 1.1 * held[0]
