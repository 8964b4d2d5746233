"""Every operator test again, on the CUDA kernels and bindings run by the emulation under sanitizers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
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


def assert_in_each(result: subprocess.CompletedProcess[str], files: Iterable[Path]) -> None:
    """Tests of each file have passed or been skipped; ``-rps`` has listed them."""
    told = set(re.findall(r"^(?:PASSED|SKIPPED \[\d+\]) \S*?(\w+\.py):", result.stdout, re.MULTILINE))
    assert {file.name for file in files} <= told


@pytest.mark.parametrize("folder", ["ops", "device"])
def test_address_sanitizer(folder: str) -> None:
    """Also undefined behaviour, and fresh memory that holds NaN."""
    files = [file for file in FILES if file.parent.name == folder]
    result = run("address", *map(str, files), "-rps", "-k", KERNELS_ALONE if folder == "ops" else "")
    assert_passed(result)
    assert_in_each(result, files)


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
