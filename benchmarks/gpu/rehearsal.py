"""``make gpu-check`` without a GPU, from a bare copy of the last commit to its end.

    python -m stylemap.benchmarks.gpu.rehearsal [--python PYTHON] [--output DIR]

The copy is what ``git archive`` gives, in an empty folder. The environment is a fresh one with the packages
of machine.txt, the versions of torch and Triton among them, unless an interpreter is named. The same script
then takes the same steps: kernels run on the interpreter of machine code, measurements on the CPU at sizes
that only show that they run. The exit status is 1 if a step failed or is missing, 2 if the rehearsal cannot
begin: without nvcc, a C++ compiler or make, without the disk space of a fresh environment, or with an
interpreter that lacks a package.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stylemap import _build
from stylemap.benchmarks.gpu.steps import ROOT

#: Of the machine with a GPU.
PYTHON = "python3.12"
PACKAGES = Path(__file__).resolve().parent / "machine.txt"
ARGUMENTS = ("--device", "cpu", "--tiny")
#: Bytes that a fresh environment takes, with what pip unpacks on its way.
ROOM = 8 << 30
#: Run by the interpreter that is named: prints the packages of a file that it lacks. pip brings the parser.
PACKAGES_LACKING = """
import sys
from importlib.metadata import PackageNotFoundError, version
from pip._vendor.packaging.requirements import Requirement
for line in open(sys.argv[1]):
    if not (text := line.split("#")[0].strip()):
        continue
    wanted = Requirement(text)
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        print(f"no package {text}")
    else:
        if not wanted.specifier.contains(found, prereleases=True):
            print(f"{wanted.name} {found} where {text} is wanted")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m stylemap.benchmarks.gpu.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--python", help="an interpreter that has the packages, instead of a fresh environment"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out") / "gpu_rehearsal", help="folder for results"
    )
    parser.add_argument("--revision", default="HEAD", help="what is rehearsed (default: the last commit)")
    options = parser.parse_args(arguments)
    if wanting := lacking(options.python):
        print("\n".join(f"gpu-rehearsal: cannot begin: {line}" for line in wanting))
        return 2
    output = options.output.resolve()
    with tempfile.TemporaryDirectory(prefix="gpu-rehearsal-") as folder:
        copy = bare_copy(Path(folder) / "copy", options.revision)
        python = options.python or environment(Path(folder) / "environment")
        run(copy, python, output)
    missing = unfinished(output)
    print(f"gpu-rehearsal: {'not at its end: ' + '; '.join(missing) if missing else 'at its end'}")
    return 1 if missing else 0


def lacking(python: str | None) -> list[str]:
    """What the rehearsal cannot do without, a line each; ``python`` is the interpreter named, if any."""
    lines = [] if shutil.which("make") else ["no make"]
    try:
        _build._cxx()
    except _build.BuildError as error:
        lines.append(str(error))
    if _build.cuda_home() is None:
        lines.append(_build.NO_NVCC)
    if python is None:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < ROOM:
            room = f"{ROOM >> 30} GiB for a fresh environment, {free / (1 << 30):.1f} are free"
            lines.append(f"{tempfile.gettempdir()} needs {room} (TMPDIR names another folder)")
        return lines
    command = [python, "-c", PACKAGES_LACKING, str(PACKAGES)]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        return [*lines, f"{python} cannot say which packages it has: {said}"]
    return [*lines, *(f"{python}: {line}" for line in found)]


def bare_copy(target: Path, revision: str) -> Path:
    """The files of a commit in a new folder.

    Raises:
        subprocess.CalledProcessError: no such commit, or no repository.
    """
    target.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)
    return target


def environment(folder: Path) -> str:
    """A fresh environment with the packages of the machine: its interpreter.

    Raises:
        subprocess.CalledProcessError: a package cannot be installed.
    """
    base = shutil.which(PYTHON) or sys.executable
    if subprocess.run([base, "--version"], capture_output=True, check=False).returncode != 0:
        base = sys.executable  # a launcher that stands for no installed version
    if base == sys.executable:
        print(f"gpu-rehearsal: no {PYTHON}; with {base}", flush=True)
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-cache-dir", "-r", str(PACKAGES)], check=True)
    return python


def run(copy: Path, python: str, output: Path) -> None:
    """``make gpu-check`` in the copy; what it found is in its files."""
    if output.exists():
        shutil.rmtree(output)
    given = f"GPU_CHECK_ARGS={' '.join([*ARGUMENTS, '--output', str(output)])}"
    command = ["make", "gpu-check", f"PYTHON={python}", given]
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(command, cwd=copy, env=variables, check=False)


def unfinished(output: Path) -> list[str]:
    """What keeps a rehearsal from its end: steps that left no result or failed, a line each."""
    from stylemap.benchmarks.gpu import check

    lines = []
    for step in check.STEPS:
        file = output / f"{step.name}.json"
        result = json.loads(file.read_text()) if file.is_file() else {"status": "no result"}
        wrong = [result["status"]] if result["status"] != "passed" else []
        lines += [f"{step.name}: {line}" for line in [*wrong, *result.get("problems", [])]]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
