"""The driver of all launchers: on the interpreter of machine code, and whether it calls all of them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from stylemap import _build
from tests.cuda.driver import build
from tests.cuda.sass import toolchain
from tests.helpers import needs

#: `cudaError_t bias_act_cuda(` of a header.
LAUNCHER = re.compile(r"^cudaError_t (\w+_cuda)\(", re.MULTILINE)


def launchers() -> set[str]:
    headers = (_build.source_root() / "kernels").rglob("*_cuda.h")
    return {name for header in headers for name in LAUNCHER.findall(header.read_text())}


@pytest.fixture(scope="module")
def program() -> build.Program:
    return build.for_interpreter()


def cases(program: build.Program, **variables: str) -> tuple[int, list[dict[str, object]]]:
    import os

    done = subprocess.run(
        [str(program.path)],
        env={**os.environ, **program.variables, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@needs.when(not toolchain.missing(), f"no {toolchain.missing()}")
def test_every_launcher_is_right_on_the_machine_code(program: build.Program) -> None:
    status, found = cases(program)
    assert status == 0, found
    assert all(case.get("right") for case in found), found
    called = {str(case["case"]).split(":")[0] for case in found}
    assert called == launchers()


@needs.when(not toolchain.missing(), f"no {toolchain.missing()}")
def test_a_failed_launch_is_an_error(program: build.Program, tmp_path: Path) -> None:
    status, found = cases(program, STYLEMAP_SASS_PROGRAMS=str(tmp_path))
    assert status == 1
    assert "no kernel" in str(found[-1]["failure"])


def test_nothing_is_compiled_again_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BUILD", tmp_path)
    with pytest.raises(RuntimeError, match="no compiled kernels"):
        build.for_gpu()
