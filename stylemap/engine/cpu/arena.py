"""Activation buffers that are mapped once and reused.

A fresh large tensor costs a page fault per 4 KiB, every time: 10 to 25 % of a decode. An arena keeps its
memory, asks the kernel for 2 MiB pages, and hands the same memory out again within one execution. Large
buffers are cut from one range of addresses, so that whatever sizes come, little more is ever touched than is
in use at the same time.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import mmap
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

_PAGE, _HUGE_PAGE = 4096, 2 << 20
_LARGE = 1 << 20  # from here on buffers are cut from a region
_MAPPING = 64 << 20  # addresses, of `Pages`
_REGION = 1 << 30  # addresses, which cost nothing until they are touched


def map_bytes(count: int) -> Tensor:
    """``count`` bytes of zeros, uint8, aligned to 2 MiB and on huge pages where the system has them.

    For at least as many bytes as such a page has.
    """
    pages = _pages(count + _HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a wish: kernels without huge pages refuse it
            pages.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(pages, dtype=torch.uint8)
    start = -memory.data_ptr() % _HUGE_PAGE
    return memory[start : start + count]


def _pages(size: int) -> mmap.mmap:
    """Memory of this process alone; MemoryError where the system, or a limit of the process, has no more."""
    try:
        if hasattr(mmap, "MAP_PRIVATE"):
            # Python's own choice, MAP_SHARED, is a file in memory: most systems keep those on small pages.
            return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(f"there is no memory for {size >> 20} MiB: {error.strerror or error}") from error


def empty_on_huge_pages(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor to fill, on huge pages if it is large."""
    size = math.prod(shape) * dtype.itemsize
    if size < _HUGE_PAGE:
        return torch.empty(shape, dtype=dtype)
    return map_bytes(size).view(dtype).view(shape)


class Pages:
    """Memory that stays: tensors cut one after the other from large mappings. With one of its own each would
    take the rest of its last huge page.
    """

    def __init__(self) -> None:
        self._left = torch.empty(0, dtype=torch.uint8)

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor to fill, which keeps the mapping it is cut from."""
        size = math.prod(shape) * dtype.itemsize
        whole = -(-size // _PAGE) * _PAGE
        if whole > self._left.numel():
            self._left = map_bytes(max(whole, _MAPPING))
        taken, self._left = self._left[:size], self._left[whole:]
        return taken.view(dtype).view(shape)


def empty_on_small_pages(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor to fill in part: what has not been written takes addresses, but no memory."""
    size = math.prod(shape) * dtype.itemsize
    if size < 4 * _PAGE:
        return torch.empty(shape, dtype=dtype)
    pages = _pages(size)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # for systems that take huge pages unasked
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


class Region:
    """A range of addresses that buffers are cut from. What has been touched once stays with the process."""

    def __init__(self, size: int) -> None:
        self._memory = map_bytes(size)
        self._used: list[tuple[int, int]] = []  # begin and end, in order
        self._top = 0

    @property
    def bytes(self) -> int:
        """Of the part that has been in use."""
        return -(-self._top // _HUGE_PAGE) * _HUGE_PAGE

    def hole(self, size: int) -> tuple[int, int] | None:
        """Size and begin of the smallest hole that is large enough, the first of those."""
        ends = [0, *(end for _, end in self._used)]
        begins = [*(begin for begin, _ in self._used), self._memory.numel()]
        holes = [(begin - end, end) for end, begin in zip(ends, begins, strict=True) if begin - end >= size]
        return min(holes, default=None)

    def take(self, begin: int, size: int) -> Tensor:
        """The memory from ``begin`` on, which is free."""
        bisect.insort(self._used, (begin, begin + size))
        self._top = max(self._top, begin + size)
        return self._memory[begin : begin + size]

    def give(self, block: Tensor) -> None:
        """Make a block free again."""
        begin = block.data_ptr() - self._memory.data_ptr()
        self._used.remove((begin, begin + block.numel()))


class Arena:
    """Buffers of one execution at a time. `take` returns uninitialised memory, `give` makes it free again."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._small: list[tuple[int, int, Tensor]] = []  # size, address and block, the smallest first
        self._taken: dict[int, tuple[Tensor, Region | None]] = {}

    @property
    def bytes(self) -> int:
        """Memory held, in use or not."""
        small = [block for _, _, block in self._small]
        small += [block for block, region in self._taken.values() if region is None]
        return sum(block.numel() for block in small) + sum(region.bytes for region in self._regions)

    def take(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Memory of this shape and type, uninitialised, until it is given back."""
        size = math.prod(shape) * dtype.itemsize
        block, region = self._from_region(size) if size >= _LARGE else (self._from_small(size), None)
        self._taken[block.data_ptr()] = block, region
        # Views are what this costs: a frame of a small model takes a hundred buffers.
        return (block if block.numel() == size else block[:size]).view(dtype).view(shape)

    def give(self, *tensors: Tensor | None) -> None:
        """Return buffers; tensors from elsewhere and None are ignored."""
        for tensor in tensors:
            if tensor is not None and (found := self._taken.pop(tensor.data_ptr(), None)):
                self._free(*found)

    def give_all(self) -> None:
        """Return every buffer that is taken."""
        for block, region in self._taken.values():
            self._free(block, region)
        self._taken.clear()

    def _free(self, block: Tensor, region: Region | None) -> None:
        if region is None:
            bisect.insort(self._small, (block.numel(), block.data_ptr(), block))
        else:
            region.give(block)

    def _from_region(self, size: int) -> tuple[Tensor, Region]:
        """The smallest hole there is, which leaves large ones for large buffers."""
        size = -(-size // _PAGE) * _PAGE
        found = [(hole, region) for region in self._regions if (hole := region.hole(size))]
        if not found:
            self._regions.append(_new_region(size))
            found = [((0, 0), self._regions[-1])]
        (_, begin), region = min(found, key=lambda each: each[0])
        return region.take(begin, size), region

    def _from_small(self, size: int) -> Tensor:
        place = bisect.bisect_left(self._small, (size,))
        if place < len(self._small):
            return self._small.pop(place)[2]
        return torch.empty(max(1, -(-size // _PAGE)) * _PAGE, dtype=torch.uint8)


def _new_region(size: int) -> Region:
    """Of the usual size, or as large as the process's limit of addresses allows; at least ``size``."""
    wanted = max(size, _REGION)
    while True:
        try:
            return Region(wanted)
        except OSError:
            if wanted == size:
                raise
            wanted = max(size, wanted // 2)


class ArenaPool:
    """One arena per execution that runs at the same time; idle ones are kept for the next."""

    def __init__(self) -> None:
        self._idle: list[Arena] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lease(self) -> Iterator[Arena]:
        """An arena that nobody else uses until the end of the block."""
        with self._lock:
            arena = self._idle.pop() if self._idle else Arena()
        try:
            yield arena
        finally:
            arena.give_all()
            with self._lock:
                self._idle.append(arena)

    @property
    def bytes(self) -> int:
        """Memory of the idle arenas."""
        with self._lock:
            return sum(arena.bytes for arena in self._idle)
