"""The native build: when it happens, what it refuses, what a wheel contains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stylemap import _build

ROOT = Path(__file__).resolve().parent.parent

SOURCE = """
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include "kernels/value.h"
static torch::stable::Tensor fill(const torch::stable::Tensor& x) {
  auto y = torch::stable::empty_like(x);
  torch::stable::fill_(y, VALUE);
  return y;
}
STABLE_TORCH_LIBRARY(stylemap_build_test, m) { m.def("fill(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(stylemap_build_test, CPU, m) { m.impl("fill", TORCH_BOX(&fill)); }
"""

USE = """
import sys, torch
for name in [name for name in sys.modules if name.partition(".")[0] == "stylemap"]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
from stylemap import _build
torch.ops.load_library(str(_build.ensure("cpu")))
print(torch.ops.stylemap_build_test.fill(torch.zeros(1)).item())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one operator, built by the same code as the package."""
    (tmp_path / "stylemap").mkdir()
    shutil.copy(ROOT / "stylemap" / "_build.py", tmp_path / "stylemap")
    (tmp_path / "stylemap" / "__init__.py").touch()
    (tmp_path / "setup.py").touch()
    (tmp_path / "csrc" / "torch").mkdir(parents=True)
    (tmp_path / "csrc" / "kernels").mkdir()
    (tmp_path / "csrc" / "torch" / "library.cpp").write_text(SOURCE)
    (tmp_path / "csrc" / "kernels" / "value.h").write_text("#define VALUE 3.0\n")
    return tmp_path


Use = Callable[..., tuple[str, str]]


@pytest.fixture
def use(warm_commands: Path) -> Use:
    """What a process that uses a project writes to stdout and stderr."""

    def use(project: Path, **variables: str) -> tuple[str, str]:
        run = subprocess.run(
            [str(warm_commands / "python"), "-c", USE, str(project)],
            capture_output=True,
            text=True,
            check=True,
            cwd=project.parent,
            env={**os.environ, **variables},
        )
        return run.stdout.strip(), run.stderr.strip()

    return use


def compiler(file: Path, flags: str = "") -> Path:
    """A compiler: g++ with flags after all others."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'#!/bin/sh\nexec g++ "$@" {flags}\n')
    file.chmod(0o755)
    return file


def test_built_at_first_use_and_again_only_when_a_source_changes(project: Path, use: Use) -> None:
    value, said = use(project)
    assert value == "3.0"
    assert len(said.splitlines()) == 1
    assert "compiling its cpu library" in said

    built = (project / "stylemap" / "lib" / "libstylemap_cpu.so").stat().st_mtime_ns
    assert use(project) == ("3.0", "")
    assert (project / "stylemap" / "lib" / "libstylemap_cpu.so").stat().st_mtime_ns == built

    (project / "csrc" / "kernels" / "value.h").write_text("#define VALUE 4.0\n")
    value, said = use(project)
    assert value == "4.0"
    assert "compiling" in said


def test_source_that_does_not_compile_is_reported_and_keeps_nothing_stale(project: Path, use: Use) -> None:
    use(project)
    (project / "csrc" / "kernels" / "value.h").write_text("#define VALUE undeclared_name\n")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        use(project)
    assert "undeclared_name" in failure.value.stderr


def test_what_did_not_compile_is_not_tried_again_by_every_process(project: Path, use: Use) -> None:
    header = project / "csrc" / "kernels" / "value.h"
    header.write_text("#define VALUE undeclared_name\n")
    for said in ("compiling the cpu library failed:", "failed before"):
        with pytest.raises(subprocess.CalledProcessError) as failure:
            use(project)
        assert said in failure.value.stderr
    assert "undeclared_name" in failure.value.stderr
    assert "compiling its cpu library" not in failure.value.stderr
    header.write_text("#define VALUE 5.0\n")
    assert use(project)[0] == "5.0"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with space: do$lar", """quo'te "s" & ümläut; ✓ (d)"""])
def test_any_path_builds(project: Path, use: Use, name: str) -> None:
    odd = project.rename(project.parent / name)
    assert use(odd, CXX=str(compiler(odd / "my compiler$" / "g++")))[0] == "3.0"
    (odd / "csrc" / "kernels" / "value.h").write_text("#define VALUE 4.0\n")
    assert use(odd)[0] == "4.0"  # the headers that a source includes are known under any path


@pytest.mark.parametrize("name", ["with space", "do$lar", "quo'te"])
def test_cuda_toolkits_in_any_folder_are_named_in_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    for file in ("bin/nvcc", "include/cuda_runtime_api.h"):
        (home / file).parent.mkdir(parents=True)
        (home / file).write_text('#!/bin/sh\necho "$0"\n')
        (home / file).chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(home))
    lines = _build._ninja_file("cuda", _build.source_root(), tmp_path / "torch").splitlines()
    command = next(line for line in lines if "bin/nvcc" in line).split(" -ccbin")[0]
    (tmp_path / "build.ninja").write_text(f"rule run\n{command} > $out\nbuild said: run\n")
    subprocess.run([_build._ninja(), "-C", str(tmp_path)], check=True, capture_output=True)
    assert (tmp_path / "said").read_text().strip() == str(home / "bin" / "nvcc")


def test_native_0_builds_and_uses_nothing(project: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEMAP_NATIVE", "0")
    assert _build.wanted_libraries() == []
    with pytest.raises(subprocess.CalledProcessError) as failure:
        use(project)
    assert "STYLEMAP_NATIVE=0 asks for none" in failure.value.stderr
    assert not (project / "stylemap" / "lib").exists()


def test_without_home_the_folder_to_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(_build.Path, "home", none)
    with pytest.raises(_build.BuildError, match="XDG_CACHE_HOME"):
        _build._user_cache()


EDIT_WITHOUT = """
import torch, stylemap
from stylemap.ops import current_backend
from tests.helpers import tiny
session = stylemap.EditSession(tiny.model())
a, b = (session.add(photo) for photo in tiny.photos(2))
mask = torch.zeros(32, 32)
mask[8:20, 8:20] = 1
print(current_backend(), tuple(session.edit(a, [session.reference(b, mask)]).shape))
"""


def test_everything_runs_without_native_libraries_and_says_so_once() -> None:
    run = subprocess.run(
        [sys.executable, "-c", EDIT_WITHOUT],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "STYLEMAP_NATIVE": "0"},
    )
    assert run.stdout.strip() == "reference (3, 32, 32)", run.stderr
    (line,) = run.stderr.strip().splitlines()
    assert "plain PyTorch instead of native kernels" in line


ELSEWHERE = """
import os, signal, sys
import torch, PIL.Image, numpy, safetensors.torch, concurrent.futures.thread, multiprocessing, subprocess
sys.platform = os_name = sys.argv.pop(1)
if os_name == "win32":
    for name in ("fcntl", "resource", "termios", "pwd", "grp", "tty"):
        sys.modules[name] = None
    gone = "fork getuid geteuid sched_getaffinity statvfs sysconf sysconf_names pread mkfifo getpgid"
    for name in gone.split():
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "alarm"):
        delattr(signal, name)
from stylemap.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_platforms_run_on_plain_pytorch_with_one_line(platform: str, tmp_path: Path) -> None:
    """As far as it can be told on Linux: without the modules and functions that Windows lacks."""
    command = ["sample", "--count", "1", "--output", str(tmp_path / "one.png")]
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, platform, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "one.png").exists()
    lines = [line for line in run.stderr.splitlines() if "native kernels are built on Linux alone" in line]
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stderr
    assert f"and this is {platform}" in lines[0]


def test_other_platforms_build_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_build.sys, "platform", "darwin")
    monkeypatch.delenv("STYLEMAP_NATIVE", raising=False)
    for attempt in (_build.wanted_libraries, _build.ensure):
        with pytest.raises(_build.MissingToolError, match="on Linux alone, and this is darwin"):
            attempt()
    monkeypatch.setenv("STYLEMAP_NATIVE", "0")
    assert _build.wanted_libraries() == []


def test_cuda_required_without_nvcc_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_build, "cuda_home", lambda: None)
    monkeypatch.setenv("STYLEMAP_CUDA", "1")
    with pytest.raises(_build.BuildError, match="nvcc was found neither in CUDA_HOME"):
        _build.wanted_libraries()
    monkeypatch.setenv("STYLEMAP_CUDA", "auto")
    assert _build.wanted_libraries() == ["cpu"]
    monkeypatch.setenv("STYLEMAP_CUDA", "yes")
    with pytest.raises(_build.BuildError, match="auto, 0 or 1, got 'yes'"):
        _build.wanted_libraries()


def test_missing_torch_compiler_and_ninja_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_build.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_build.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(_build.BuildError, match=r"no C\+\+ compiler"):
        _build._cxx()
    with pytest.raises(_build.BuildError, match="ninja is not installed"):
        _build._ninja()
    monkeypatch.setattr(_build.sysconfig, "get_path", lambda kind: str(tmp_path))
    with pytest.raises(_build.BuildError, match="torch is not installed"):
        _build.torch_root()


def _make(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """make demo in an empty checkout, with a Python that claims that version and makes no environment."""
    for name in ("pyproject.toml", "setup.py", "constraints.txt"):
        (folder / name).touch()
    python = folder / "python"
    python.write_text(
        f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} -c "import sys; sys.version_info = ({version}, 0); $2"
echo "asked for $*" >&2; exit 9
"""
    )
    python.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "demo", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_make_names_a_python_that_is_too_old(tmp_path: Path) -> None:
    run = _make(tmp_path, "3, 9")
    assert run.returncode != 0
    assert "stylemap needs Python 3.10 or newer, and " in run.stderr
    assert " is 3.9: name another, as in make demo PYTHON=python3.12" in run.stderr
    assert "asked for" not in run.stderr
    assert "not found" not in run.stderr
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()  # of an environment that was interrupted
    assert "asked for -m venv .venv" in _make(tmp_path, "3, 10").stderr


@pytest.mark.slow
def test_wheel_serves_every_python_and_contains_everything(tmp_path: Path) -> None:
    # Unoptimised, in a fifth of the time: what is compiled here is not run.
    environment = {**os.environ, "STYLEMAP_CUDA": "0", "CXX": str(compiler(tmp_path / "bin" / "g++", "-O0"))}
    sources = tmp_path / "sources"
    shutil.copytree(
        ROOT,
        sources,
        # The second line: what other tests write at the same time.
        ignore=shutil.ignore_patterns(
            *(".git", ".venv", "build", "lib", ".demo", "*.egg-info", "runs"),
            *("__pycache__", ".hypothesis", ".*_cache"),
        ),
    )
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "-w", str(tmp_path), str(sources)], check=True, env=environment, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-linux" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = "lib/libstylemap_cpu.so export/__init__.py _csrc/torch/library.cpp ops/reference.py".split()
    assert {f"stylemap/{name}" for name in wanted} <= names

    # Imported from outside the repository, with the wheel's files alone.
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    check = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r});"
        "import stylemap.export, stylemap._build as b;"
        "print(stylemap.export.__file__, b.is_current(b.library_path('cpu'), 'cpu'))"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", check] if sys.version_info >= (3, 11) else [sys.executable, "-c", check],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert str(tmp_path / "installed" / "stylemap" / "export") in run.stdout
    assert run.stdout.strip().endswith("True")


def test_kernels_that_the_processor_lacks_are_an_error() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "stylemap", "--version"],
        env={**os.environ, "STYLEMAP_ISA": "avx9000"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.startswith("stylemap: error: STYLEMAP_ISA=avx9000: there are no such kernels")
    assert run.stderr.count("\n") == 1
