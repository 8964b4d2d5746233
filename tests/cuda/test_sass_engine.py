"""The interpreter of machine code finds the mistakes it is there for."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda.sass import build, toolchain
from tests.helpers import needs

pytestmark = needs.when(not toolchain.missing(), f"no {toolchain.missing()}")

#: As numbered in planted/reverse.cu, with what the engine says of each. Which of the words it is
#: depends on the warp that comes first.
MISTAKES = {
    "no barrier": (1, "race: shared memory|uninitialised shared memory|asynchronous copy is filling"),
    "no wait": (2, "that an asynchronous copy is filling"),
    "copy before the barrier that ends the reads": (3, "race: shared memory|asynchronous copy is filling"),
    "out of bounds": (4, "bytes after the end of an allocation"),
    "misaligned": (5, "misaligned access of 16 bytes"),
    "uninitialised shared memory": (6, "uninitialised shared memory"),
    "out of bounds of shared memory": (7, "out of bounds of shared memory"),
}
ORDERS = [0, 1, 2, 7]


@pytest.fixture(scope="module")
def program() -> Path:
    source = Path(toolchain.ENGINE).parent / "planted" / "reverse.cu"
    work = toolchain.CACHE / "planted"
    objects = build.engine_objects(with_torch=False)
    lines = [f"work = {work}", *build.rules(_build.source_root())]
    lines += build.kernel_lines(source, "reverse")
    lines.append(f"rule program_link\n  command = {_build._cxx()} -o $out $in")
    lines.append(f"build planted: program_link reverse.o {' '.join(objects)}")
    build.ninja(work, lines)
    return work / "planted"


def run(program: Path, mistake: int, order: int) -> subprocess.CompletedProcess[str]:
    variables = {"STYLEMAP_SASS_PROGRAMS": str(program.parent), "STYLEMAP_SASS_ORDER": str(order)}
    return subprocess.run(
        [str(program), str(mistake)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("order", ORDERS)
def test_correct_kernel_passes(program: Path, order: int) -> None:
    result = run(program, 0, order)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found_in_every_order(program: Path, name: str, order: int) -> None:
    mistake, said = MISTAKES[name]
    result = run(program, mistake, order)
    assert result.returncode == 1
    assert re.search(said, result.stdout), result.stdout
    assert "reverse" in result.stdout, "the fault names the kernel"


def test_an_unknown_kernel_is_an_error(program: Path, tmp_path: Path) -> None:
    moved = tmp_path / "planted"
    moved.write_bytes(program.read_bytes())
    moved.chmod(0o755)
    result = run(moved, 0, 0)
    assert result.returncode == 1
    assert "has no kernel" in result.stdout
