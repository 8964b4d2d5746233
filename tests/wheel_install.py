"""Installs what `make wheel` made into fresh environments and tries it there: make wheel-check.

python tests/wheel_install.py [--dist DIST] [--folder FOLDER] [PYTHON …]: every archive of DIST in an
environment of every Python, by default of those named python3.10 to python3.15 on PATH. The environments
are made in FOLDER, by default a temporary one, and one that is there is taken as it is: torch is installed
once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = range(10, 16)
_TRY = """
import stylemap, torch
from stylemap.ops import _native
model = stylemap.load()
faces = stylemap.demo_faces(2)
session = stylemap.EditSession(model)
original, other = session.add(faces[0]), session.add(faces[1])
image = session.edit(original, session.reference(other, "ellipse:0.5,0.7,0.2,0.12"))
assert image.shape == (3, 128, 128) and image.isfinite().all()
print("site-packages" in stylemap.__file__, _native.why_missing("cpu") is None, torch.__version__)
"""


def main() -> int:
    """The exit status: 0 where every archive works on every Python."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    args = parser.parse_args()
    archives = sorted([*args.dist.glob("*.whl"), *args.dist.glob("*.tar.gz")])
    if not archives:
        parser.error(f"{args.dist} holds no wheel and no source archive: make wheel")
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for python in args.pythons or found():
            environment = prepared(python, folder)
            for archive in archives:
                failed += not works(environment, archive, Path(temporary))
    return 1 if failed else 0


def found() -> list[str]:
    """The Pythons on PATH that start, this one's version among them."""
    here = f"python3.{sys.version_info.minor}"
    names = [f"python3.{minor}" for minor in MINORS]
    usable = [name for name in names if name != here and _starts(name)]
    return [sys.executable, *usable]


def _starts(name: str) -> bool:
    path = shutil.which(name)
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


def prepared(python: str, folder: Path) -> Path:
    """The interpreter of an environment with torch."""
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    environment = folder / version
    if not environment.exists():
        subprocess.run([python, "-m", "venv", str(environment)], check=True)
    interpreter = environment / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    _pip(interpreter, "install", "-c", constraints, "torch", "numpy")
    return interpreter


def works(interpreter: Path, archive: Path, folder: Path) -> bool:
    """Installs one archive, edits with it outside the checkout, and says how it went."""
    begin = time.monotonic()
    _pip(interpreter, "uninstall", "--yes", "stylemap")
    _pip(interpreter, "install", str(archive))
    # A wheel brings its library: no compiler may be needed. A source archive compiles at first use.
    no_compiler = {"CXX": "/no/compiler"} if archive.suffix == ".whl" else {}
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    outside |= {"STYLEMAP_CUDA": "0", "XDG_CACHE_HOME": str(folder / "cache"), **no_compiler}
    commands = [
        [str(interpreter), "-c", _TRY],
        [
            str(interpreter.with_name("stylemap")),
            "sample",
            "--count",
            "1",
            "--output",
            "one.png",
            "--overwrite",
        ],
        [str(interpreter), "-m", "stylemap", "--version"],
    ]
    where = folder / "outside"
    where.mkdir(exist_ok=True)
    facts = ""
    for command in commands:
        run = subprocess.run(command, cwd=where, env=outside, capture_output=True, text=True)
        if run.returncode != 0:
            print(f"{interpreter.parent.parent.name} {archive.name}: FAILED {command[1:3]}: {run.stderr}")
            return False
        facts = facts or run.stdout.strip()
    installed, native, torch = facts.splitlines()[-1].split()
    good = installed == native == "True"
    print(
        f"Python {interpreter.parent.parent.name}, torch {torch}, {archive.name}: "
        f"{'works, native kernels' if good else f'FAILED: installed {installed}, native {native}'} "
        f"({time.monotonic() - begin:.0f} s)",
        flush=True,
    )
    return good


def _pip(interpreter: Path, *arguments: str) -> None:
    subprocess.run([str(interpreter), "-m", "pip", *arguments, "-q"], check=True)


if __name__ == "__main__":
    sys.exit(main())
