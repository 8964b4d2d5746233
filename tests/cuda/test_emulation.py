"""The emulation finds the mistakes it is there for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda import emulated

NONE, NO_BARRIER, OUT_OF_BOUNDS, UNREACHED_BARRIER, HALF_A_WARP, NO_WAIT, UNINITIALISED, EARLY_COPY = range(8)
WRONG_RESULT = 3


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("emulation")
    found = {}
    for sanitizer, defines in (("address", "-DEMULATION_ASAN"), ("thread", "-DEMULATION_TSAN")):
        include = [f"-I{emulated.EMULATION}", f"-I{_build.source_root()}"]
        runtime = folder / f"{sanitizer}.o"
        base = [_build._cxx(), "-std=c++20", "-O1", "-g1", *include]
        command = [*base, defines, "-c", str(emulated.EMULATION / "emulation.cpp"), "-o", str(runtime)]
        subprocess.run(command, check=True)
        found[sanitizer] = folder / sanitizer
        source = ["-x", "c++", str(emulated.EMULATION / "broken.cu"), "-x", "none", str(runtime)]
        flags = emulated.SANITIZERS[sanitizer]
        subprocess.run([*base, *flags, *source, "-o", str(found[sanitizer])], check=True)
    return found


def run(program: Path, mistake: int, order: str = "forward") -> subprocess.CompletedProcess[str]:
    environment = {
        "STYLEMAP_EMULATION_ORDER": order,
        "TSAN_OPTIONS": "exitcode=66",
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [str(program), str(mistake)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_correct_kernel_passes(programs: dict[str, Path], sanitizer: str, order: str) -> None:
    result = run(programs[sanitizer], NONE, order)
    assert result.returncode == 0, result.stderr


def test_missing_barrier_is_a_race(programs: dict[str, Path]) -> None:
    result = run(programs["thread"], NO_BARRIER)
    assert result.returncode == 66
    assert "data race" in result.stderr


def test_copy_that_begins_before_the_reads_have_ended_is_a_race(programs: dict[str, Path]) -> None:
    """Though it lands after a barrier, as far as the kernel can tell."""
    result = run(programs["thread"], EARLY_COPY)
    assert result.returncode == 66
    assert "data race" in result.stderr


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_early_copy_gives_wrong_results(programs: dict[str, Path], order: str) -> None:
    assert run(programs["address"], EARLY_COPY, order).returncode == WRONG_RESULT


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_missing_barrier_gives_wrong_results(programs: dict[str, Path], order: str) -> None:
    assert run(programs["address"], NO_BARRIER, order).returncode == WRONG_RESULT


def test_out_of_bounds(programs: dict[str, Path]) -> None:
    assert "heap-buffer-overflow" in run(programs["address"], OUT_OF_BOUNDS).stderr


@pytest.mark.parametrize("mistake", [UNREACHED_BARRIER, HALF_A_WARP])
def test_deadlocks(programs: dict[str, Path], mistake: int) -> None:
    result = run(programs["address"], mistake)
    assert result.returncode != 0
    assert "deadlock" in result.stderr


@pytest.mark.parametrize("mistake", [NO_WAIT, UNINITIALISED])
def test_shared_memory_is_poisoned(programs: dict[str, Path], mistake: int) -> None:
    assert run(programs["address"], mistake).returncode == WRONG_RESULT
