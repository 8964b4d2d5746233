"""Shared by all tests: two processes for a whole run, and the memory of a module is freed after it."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap import checkpoint
from tests.helpers import tiny, warm

# The files that take longest, in that order: the two processes of a whole run end at about the same time.
LONGEST = """
cuda/test_sass cuda/test_emulated model/test_training_goldens export/test_real_sizes train/test_demo_script
train/test_on_ray test_build test_documents train/test_step editor/test_browser editor/test_browser_reported
model/test_goldens edit/test_goldens cli/test_photos train/test_elastic checkpoint/test_large
editor/test_browser_photos native/test_aarch64 train/test_resume cuda/test_sass_gates editor/test_browser_kept
engine/test_gpu_edit benchmarks/test_edit editor/test_browser_hands train/test_projected editor/test_site
train/test_loop bulk/test_ray engine/test_gpu_plan editor/test_browser_layout
""".split()


def _malloc(name: str) -> object:
    """A function of glibc's allocator; None with another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """A whole run takes two processes of one thread each; ``-n 0`` takes one, as a run of some files does."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.collectonly
    if whole and not hasattr(config, "workerinput") and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = 2
        config.option.dist = "loadfile"
        config.option.loadscopereorder = False
        # A replaced process waits for ever at the end of the run (pytest-xdist 3.8 with loadfile).
        config.option.maxworkerrestart = "0"
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-pictures",
        action="store_true",
        help="write the documentation's pictures of the editor (tests/editor/test_pictures.py)",
    )


def pytest_configure() -> None:
    # Else glibc keeps freed blocks of up to 32 MB, and the heap grows over hundreds of modules.
    mallopt = _malloc("mallopt")
    if callable(mallopt):
        mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD
        mallopt(-1, 1 << 20)  # M_TRIM_THRESHOLD


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    order = {folder / f"{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _forget(module: object) -> None:
    """Empty the `functools.cache`s of a module of tests."""
    for value in list(vars(module).values()):
        if hasattr(value, "cache_clear") and getattr(value, "__module__", "").startswith("tests."):
            value.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def _memory_is_freed() -> Iterator[None]:
    """The large models one module uses do not take memory from the next."""
    yield
    for name, module in list(sys.modules.items()):
        if name.startswith("tests.") and name.rpartition(".")[2].startswith(("test_", "goldens")):
            _forget(module)
    gc.collect()
    trim = _malloc("malloc_trim")
    if callable(trim):
        trim(0)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as a .safetensors file, which notes an error: no command warns that it is untrained."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save_safetensors(tiny.model(), path, train_args={"held_out_mse": 1.0})
    return str(path)


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[Path]:
    """A folder with a `stylemap` and a `python` that start in milliseconds (tests/helpers/warm.py)."""
    with warm.server() as folder:
        yield folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and threads that wait for each other cost much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _peaks() -> tuple[float, float]:
    """The largest resident memory of this process, and of the largest process that it started, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    own, started = (
        resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own, started


_PEAKS_OF_WORKERS: list[tuple[float, float]] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peaks"] = _peaks()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of the run has ended. One that was killed has told nothing."""
    if "peaks" in getattr(node, "workeroutput", {}):
        _PEAKS_OF_WORKERS.append(node.workeroutput["peaks"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for own, started in _PEAKS_OF_WORKERS or [_peaks()]:
        terminalreporter.write_line(f"peak memory: {own:.1f} GiB, of started processes {started:.1f} GiB")
