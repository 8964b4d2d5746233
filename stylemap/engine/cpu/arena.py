"""Activation buffers that are mapped once and reused.

A fresh large tensor costs a page fault per 4 KiB, every time: 10 to 25 % of a decode. An arena keeps its
blocks, asks the kernel for 2 MiB pages, and hands the same memory out again within one execution.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

_PAGE, _HUGE_PAGE = 4096, 2 << 20


def map_bytes(count: int) -> Tensor:
    """``count`` bytes of zeros, uint8, aligned to 2 MiB and on huge pages where the system has them.

    For at least as many bytes as such a page has.
    """
    if hasattr(mmap, "MAP_PRIVATE"):
        # Python's own choice, MAP_SHARED, is a file in memory, and most systems keep those on small pages.
        pages = mmap.mmap(-1, count + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        pages = mmap.mmap(-1, count + _HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a wish: kernels without huge pages refuse it
            pages.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(pages, dtype=torch.uint8)
    start = -memory.data_ptr() % _HUGE_PAGE
    return memory[start : start + count]


def empty_on_huge_pages(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor to fill, on huge pages if it is large."""
    size = math.prod(shape) * dtype.itemsize
    if size < _HUGE_PAGE:
        return torch.empty(shape, dtype=dtype)
    return map_bytes(size).view(dtype).view(shape)


class Arena:
    """Buffers of one execution at a time. `take` returns uninitialised memory, `give` makes it free again."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._taken: dict[int, Tensor] = {}

    @property
    def bytes(self) -> int:
        """Memory held, in use or not."""
        return sum(block.numel() for block in (*self._free, *self._taken.values()))

    def take(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Memory of this shape and type, uninitialised, until it is given back."""
        size = math.prod(shape) * dtype.itemsize
        block = self._best_fit(size)
        self._taken[block.data_ptr()] = block
        return block[:size].view(dtype).view(shape)

    def give(self, *tensors: Tensor | None) -> None:
        """Return buffers; tensors from elsewhere and None are ignored."""
        for tensor in tensors:
            if tensor is not None and tensor.data_ptr() in self._taken:
                self._free.append(self._taken.pop(tensor.data_ptr()))

    def give_all(self) -> None:
        """Return every buffer that is taken."""
        self._free += self._taken.values()
        self._taken.clear()

    def _best_fit(self, size: int) -> Tensor:
        """The smallest free block that is large enough, if it is not wastefully large; else a new one."""
        fitting = [i for i, block in enumerate(self._free) if size <= block.numel() <= 4 * size + _HUGE_PAGE]
        if fitting:
            return self._free.pop(min(fitting, key=lambda i: self._free[i].numel()))
        if size < _HUGE_PAGE:
            return torch.empty(max(1, -(-size // _PAGE)) * _PAGE, dtype=torch.uint8)
        return map_bytes(-(-size // _HUGE_PAGE) * _HUGE_PAGE)


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
