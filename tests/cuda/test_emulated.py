"""Every operator test again, on the CUDA kernels and bindings run by the emulation under sanitizers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda import emulated
from tests.cuda.selection import EVERY_KERNEL, KERNELS_ALONE

TESTS = Path(__file__).resolve().parent.parent
OPS = sorted(path.stem.removesuffix("_cuda") for path in (_build.source_root() / "torch").glob("*_cuda.cpp"))
# The operators' own tests, and those of what only the CUDA kernels have.
FILES = [path for op in OPS if (path := TESTS / "ops" / f"test_{op}.py").exists()]
DEVICE = sorted((TESTS / "cuda" / "device").glob("test_*.py"))
FILES += [path for path in DEVICE if not path.stem.startswith("test_gpu")]


def run(sanitizer: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    emulated.build(sanitizer)
    # Uncaptured: what a sanitizer writes before it ends the process would be lost.
    command = [sys.executable, "-m", "pytest", "-s", "-p", "tests.cuda.emulated", "-p", "no:cacheprovider"]
    command += arguments
    environment = emulated.environment(
        sanitizer, PYTHONPATH=str(TESTS.parent), OMP_NUM_THREADS="1", **variables
    )
    return subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )


def assert_passed(result: subprocess.CompletedProcess[str]) -> None:
    if result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and " skipped" in result.stdout:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
    assert " passed" in result.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_address_sanitizer(file: Path) -> None:
    """Also undefined behaviour, and fresh memory that holds NaN."""
    assert_passed(run("address", str(file), "-k", KERNELS_ALONE if file.parent.name == "ops" else ""))


@pytest.mark.parametrize("order", ["reverse", "shuffle"])
def test_other_orders_of_threads_and_blocks(order: str) -> None:
    result = run("address", *map(str, FILES), "-k", EVERY_KERNEL, STYLEMAP_EMULATION_ORDER=order)
    assert_passed(result)


def test_thread_sanitizer() -> None:
    """No two threads of a launch touch the same memory without a barrier in between."""
    result = run("thread", *map(str, FILES), "-k", EVERY_KERNEL)
    assert_passed(result)
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) > 150, "the selection misses its tests"
