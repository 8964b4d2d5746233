"""Memory of the CPU plan: where it comes from, and that it is used again."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylemap.engine.cpu import arena as arena_module
from stylemap.engine.cpu.arena import Arena, Pages, empty_on_huge_pages, empty_on_small_pages, map_bytes

MIB = 1 << 20


def flags(tensor: Tensor) -> list[str]:
    """How the system keeps the mapping a tensor lies in: see proc(5), VmFlags."""
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, last = (int(end, 16) for end in mapping.split(" ", 1)[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return re.search(r"^VmFlags: (.*)$", mapping, re.MULTILINE)[1].split()  # type: ignore[index]
    raise AssertionError("memory that is mapped nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_memory_is_private_and_asks_for_huge_pages() -> None:
    """Shared memory is a file to the system: most keep those on 4 KiB pages, whatever is asked for."""
    found = flags(map_bytes(8 * MIB))
    assert "sh" not in found
    if Path("/sys/kernel/mm/transparent_hugepage").exists():
        assert "hg" in found


@pytest.mark.parametrize("count", [2 * MIB, 5 * MIB + 3])
def test_it_is_zero_and_aligned(count: int) -> None:
    memory = map_bytes(count)
    assert memory.shape == (count,)
    assert memory.data_ptr() % (2 * MIB) == 0
    assert not memory.any()


@pytest.mark.parametrize("shape", [(3, 5), (700, 1024)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_tensors_to_fill(shape: tuple[int, int], dtype: torch.dtype) -> None:
    tensor = empty_on_huge_pages(*shape, dtype=dtype)
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert bool((tensor.fill_(2) == 2).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_tensors_that_stay_lie_side_by_side(dtype: torch.dtype) -> None:
    pages = Pages()
    shapes = [(3, 5), (700, 1024), (700, 1024), (17, 9)]
    tensors = [pages.take(*shape, dtype=dtype).fill_(number) for number, shape in enumerate(shapes)]
    for number, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True)):
        assert (tensor.shape, tensor.dtype, tensor.data_ptr() % 4096) == (shape, dtype, 0)
        assert bool((tensor == number).all())
    span = tensors[-1].data_ptr() - tensors[0].data_ptr()
    assert span == sum(-(-tensor.nbytes // 4096) * 4096 for tensor in tensors[:-1])
    large = pages.take(70 * MIB, dtype=torch.uint8)
    assert large.shape == (70 * MIB,)
    assert pages.take(5, dtype=dtype).shape == (5,)


def test_an_arena_hands_out_the_same_memory_again() -> None:
    arena = Arena()
    large, small = arena.take(1024, 1024), arena.take(7)
    assert large.data_ptr() != small.data_ptr()
    held = arena.bytes
    assert held >= 4 * MIB
    arena.give(large, None, torch.empty(3))
    assert arena.take(1024, 1023).data_ptr() == large.data_ptr()
    arena.give_all()
    assert arena.take(5).data_ptr() == small.data_ptr()
    assert arena.bytes == held


def test_buffers_never_overlap_and_keep_what_is_written() -> None:
    """Any sizes, in any order; of what is free, all of it can be had again as one piece."""
    arena, chance = Arena(), random.Random(3)
    alive: list[tuple[Tensor, int]] = []
    most = 0
    for number in range(400):
        if alive and chance.random() < 0.5:
            tensor, value = alive.pop(chance.randrange(len(alive)))
            assert bool((tensor == value).all())
            arena.give(tensor)
        else:
            count = chance.choice([3, 1000, MIB // 4, 3 * MIB // 4, 5 * MIB // 4])
            alive.append((arena.take(count).fill_(number), number))
        most = max(most, sum(tensor.numel() * 4 for tensor, _ in alive))
    assert all(bool((tensor == value).all()) for tensor, value in alive)
    held = arena.bytes
    assert most <= held <= 2 * most
    arena.give_all()
    arena.take(held // 8, 2)
    assert arena.bytes <= held + 2 * MIB


def test_other_sizes_get_the_same_memory() -> None:
    """What one kind of execution leaves free serves another one, whose buffers are larger and fewer."""
    arena = Arena()
    for size in (2, 4, 8, 16):
        arena.take(size * MIB)
    held = arena.bytes
    assert held == 30 * 4 * MIB
    arena.give_all()
    arena.take(20 * MIB)
    arena.take(10 * MIB)
    assert arena.bytes == held


def test_an_arena_takes_less_where_addresses_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def limited(count: int) -> Tensor:
        asked.append(count)
        if count > 20 * MIB:
            raise OSError(12, "Cannot allocate memory")
        return torch.empty(count, dtype=torch.uint8)

    monkeypatch.setattr(arena_module, "map_bytes", limited)
    arena = Arena()
    first, second = arena.take(3 * MIB), arena.take(3 * MIB)
    assert [count for count in asked if count <= 20 * MIB] == [16 * MIB, 16 * MIB]
    assert first.data_ptr() != second.data_ptr()
    with pytest.raises(OSError, match="Cannot allocate"):
        arena.take(6 * MIB)


def test_no_memory_is_an_error_of_memory() -> None:
    for make in (map_bytes, lambda size: empty_on_small_pages(size, dtype=torch.uint8)):
        with pytest.raises(MemoryError, match=r"no memory for \d+ MiB: "):
            make(1 << 60)
