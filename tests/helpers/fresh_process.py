"""A process of its own for what is timed: the tests' holds what thousands of tests left, other runtimes'
threads and memory among it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def fresh_process() -> Iterator[ProcessPoolExecutor]:
    """One worker, which imports what it is given and nothing else; functions must be importable by name."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool
