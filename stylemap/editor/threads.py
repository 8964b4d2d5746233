"""How the threads that PyTorch has are split between frames that are made at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_BESIDE = 2


class Split:
    """``frames`` at a time, each on ``threads``.

    Several threads of one frame wait for each other many times, and where a browser takes a part of the
    cores, for the one that it has pushed aside. Frames that need nothing of each other do not.
    """

    def __init__(self) -> None:
        self._all = torch.get_num_threads()
        self.frames = min(_BESIDE, self._all)
        self.threads = self._all // self.frames

    def all(self) -> None:
        """Work of this thread is done on all threads from now on.

        A new thread begins with the number that any thread has set last.
        """
        torch.set_num_threads(self._all)

    @contextlib.contextmanager
    def share(self) -> Iterator[None]:
        """Work of this thread is done on one frame's share of the threads."""
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            self.all()
