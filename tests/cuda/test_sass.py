"""The operators' tests, and those of the GPU plan, on the kernels' sm_90 machine code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda.sass import build, plugin, toolchain
from tests.cuda.selection import EVERY_KERNEL, KERNELS_ALONE
from tests.cuda.test_emulated import FILES, TESTS, assert_in_each
from tests.helpers import needs

pytestmark = needs.when(not toolchain.missing(), f"no {toolchain.missing()}")


def test_the_tools_are_there() -> None:
    assert not toolchain.missing(), toolchain.missing()


@dataclass(frozen=True)
class Job:
    """A run of tests on the machine code; `order` shuffles warps and blocks, 0 does not."""

    name: str
    arguments: tuple[str, ...]
    order: int = 0
    passing: int = 1  # tests at least
    each: bool = False  # whether a test of every file runs


def jobs() -> list[Job]:
    # One order besides the plain one: test_sass_engine.py shows that races are found in any.
    # Triton interprets its kernels itself, and tests/ops/test_passes.py launches none.
    silent = {("device", "test_triton"), ("ops", "test_passes")}
    files = [file for file in FILES if (file.parent.name, file.stem) not in silent]
    return [
        Job("shuffled", (*map(str, files), "-k", EVERY_KERNEL), order=1, passing=150),
        *(
            Job(
                folder,
                (*(str(file) for file in files if file.parent.name == folder), "-rps", *selection),
                each=True,
            )
            for folder, selection in (("ops", ("-k", KERNELS_ALONE)), ("device", ()))
        ),
    ]


def run(built: build.Built, job: Job) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.cuda.sass.plugin", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        **built.environment,
        plugin.LIBRARY: str(built.library),
        "STYLEMAP_SASS_ORDER": str(job.order),
        "PYTHONPATH": str(TESTS.parent),
        "OMP_NUM_THREADS": "1",
        "TRITON_INTERPRET": "1",
    }
    return subprocess.run(
        [*command, *job.arguments],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[dict[Job, Future[subprocess.CompletedProcess[str]]]]:
    """The selected jobs, two at a time: the interpreter has one thread."""
    built = build.build(_build.source_root())
    selected = [
        item.callspec.params["job"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_machine_code.__name__
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {job: pool.submit(run, built, job) for job in selected}


@pytest.mark.parametrize("job", jobs(), ids=lambda job: job.name)
def test_machine_code(running: dict[Job, Future[subprocess.CompletedProcess[str]]], job: Job) -> None:
    """Results; bounds and alignment of every access; shared memory initialised and without races."""
    result = running[job].result()
    if result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and " skipped" in result.stdout:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-3000:]}"
    told = {
        what: int(found[1]) if (found := re.search(rf"(\d+) {what}", result.stdout)) else 0
        for what in ("passed", "launches")
    }
    assert told["passed"] >= job.passing, "the selection misses its tests"
    assert told["launches"] > 0
    if job.each:
        assert_in_each(result, [Path(word) for word in job.arguments if word.endswith(".py")])
