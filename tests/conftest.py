"""Shared by all tests: the memory of a module is freed after it, and the peak is reported."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Iterator

import pytest
import torch

from stylemap import checkpoint
from tests.helpers import goldens, tiny


@pytest.fixture(autouse=True, scope="module")
def _memory_is_freed() -> Iterator[None]:
    """The large models one module uses do not take memory from the next."""
    yield
    goldens.release()
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's: gives free pages back
        if trim is not None:
            trim(0)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as a .safetensors file, which notes an error: no command warns that it is untrained."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save_safetensors(tiny.model(), path, train_args={"held_out_mse": 1.0})
    return str(path)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and threads that wait for each other cost much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The largest resident memory of this process, and of the largest process that it started."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    own, started = (
        resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    terminalreporter.write_line(f"peak memory: {own:.1f} GiB, of started processes {started:.1f} GiB")
