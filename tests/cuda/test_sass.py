"""The operators' tests, and those of the GPU plan, on the kernels' sm_90 machine code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda.sass import build, plugin, toolchain
from tests.cuda.sass.requirement import machine_code
from tests.cuda.selection import EVERY_KERNEL, KERNELS_ALONE
from tests.cuda.test_emulated import FILES, TESTS

pytestmark = machine_code


def test_the_tools_are_there() -> None:
    assert not toolchain.missing(), toolchain.missing()


@pytest.fixture(scope="module")
def built() -> build.Built:
    return build.build(_build.source_root(), build.TEST_INDEX_LIMIT)


def run(built: build.Built, *arguments: str, order: int = 0) -> str:
    """What pytest says of the tests; fails unless they pass."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.cuda.sass.plugin", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        **built.environment,
        plugin.LIBRARY: str(built.library),
        "STYLEMAP_SASS_ORDER": str(order),
        "PYTHONPATH": str(TESTS.parent),
        "OMP_NUM_THREADS": "1",
        "TRITON_INTERPRET": "1",
    }
    result = subprocess.run(
        [*command, *arguments], env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )
    if result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and " skipped" in result.stdout:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_operators(built: build.Built, file: Path) -> None:
    """Results, bounds, alignment, initialisation and races of every access to shared memory."""
    told = run(built, str(file), "-k", KERNELS_ALONE if file.parent.name == "ops" else "")
    if file.stem != "test_triton":  # whose kernels are Triton's own
        launches = re.search(r"machine code: (\d+) launches", told)
        assert launches is not None
        assert int(launches[1]) > 0


@pytest.mark.parametrize("order", [1, 2])
def test_other_orders_of_warps_and_blocks(built: build.Built, order: int) -> None:
    told = run(built, *map(str, FILES), "-k", EVERY_KERNEL, order=order)
    passed = re.search(r"(\d+) passed", told)
    assert passed is not None
    assert int(passed[1]) > 150, "the selection misses its tests"
