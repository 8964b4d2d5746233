"""Every operator test again, on the CUDA kernels and bindings run by the emulation under sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda import emulated

TESTS = Path(__file__).resolve().parent.parent
OPS = sorted(path.stem.removesuffix("_cuda") for path in (_build.source_root() / "torch").glob("*_cuda.cpp"))
# The operators' own tests, and those of what only the CUDA kernels have.
FILES = [path for op in OPS if (path := TESTS / "ops" / f"test_{op}.py").exists()]
FILES += sorted((TESTS / "cuda" / "device").glob("test_*.py"))


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
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
    assert " passed" in result.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_address_sanitizer(file: Path) -> None:
    assert_passed(run("address", str(file)))


def test_thread_sanitizer() -> None:
    """No two threads of a launch touch the same memory without a barrier in between."""
    files = [str(f) for f in FILES]
    assert_passed(run("thread", *files, "-k", "matches_reference or gradient or moments or fused"))
