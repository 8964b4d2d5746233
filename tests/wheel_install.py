"""Installs what `make wheel` made into fresh environments and tries it there: make wheel-check.

python tests/wheel_install.py [--torch VERSION …] [--output JSON] [PYTHON …]: the wheel with every torch on
every Python, the source archive, which compiles, with the last torch named on every Python. By default the
Pythons named python3.10 to python3.15 on PATH, and the torch of constraints.txt. `docs/status.md` has the
table of what is committed as benchmarks/results/compatibility.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MINORS = range(10, 16)
_TRY = """
import hashlib, json, stylemap, torch
from stylemap.ops import _native
model = stylemap.load()
faces = stylemap.demo_faces(2)
session = stylemap.EditSession(model)
original, other = session.add(faces[0]), session.add(faces[1])
image = session.edit(original, session.reference(other, "ellipse:0.5,0.7,0.2,0.12"))
assert image.shape == (3, 128, 128) and image.isfinite().all()
picture = hashlib.sha256(stylemap.to_pil(image).tobytes()).hexdigest()[:16]
print(json.dumps({
    "installed": "site-packages" in stylemap.__file__,
    "native": _native.why_missing("cpu") is None,
    "torch": torch.__version__,
    "picture": picture,
}))
"""


def main() -> int:
    """The exit status: 0 where every archive works everywhere it was tried."""
    args = _arguments()
    if args.table:
        print(table(json.loads(args.output.read_text())["rows"]), end="")
        return 0
    wheels, sources = sorted(args.dist.glob("*.whl")), sorted(args.dist.glob("*.tar.gz"))
    if not wheels or not sources:
        sys.exit(f"{args.dist} lacks a wheel or a source archive: make wheel")
    rows = []
    for python in args.pythons or found():
        with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
            environment = Path(temporary) / "environment"
            subprocess.run([python, "-m", "venv", str(environment)], check=True)
            interpreter = environment / "bin" / "python"
            for wanted in args.torch:
                if not _torch(interpreter, wanted):
                    rows.append(_row(interpreter, "wheel", torch=wanted, why="no such torch for this Python"))
                    continue
                for archive in [*wheels, *(sources if wanted == args.torch[-1] else [])]:
                    rows.append(tried(interpreter, archive, Path(temporary)))
                    _keep(args.output, rows, args.dist.parent / "build" / "wheel" / "commit")
    return 0 if rows and all(row["works"] for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--folder", type=Path, help="where environments are made, one at a time")
    parser.add_argument("--torch", nargs="+", metavar="VERSION", default=[""], help="as 2.10, or newest")
    parser.add_argument(
        "--output", type=Path, metavar="JSON", help="keep the results, in place of the same rows"
    )
    parser.add_argument(
        "--table", action="store_true", help="try nothing, print the results kept as Markdown"
    )
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    return parser.parse_args()


def found() -> list[str]:
    """The Pythons on PATH that start, this one's version among them."""
    here = f"python3.{sys.version_info.minor}"
    names = [f"python3.{minor}" for minor in MINORS]
    usable = [name for name in names if name != here and _starts(name)]
    return [sys.executable, *usable]


def _starts(name: str) -> bool:
    path = shutil.which(name)
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


def _torch(interpreter: Path, wanted: str) -> bool:
    """Installs the torch wanted: by uv where it is on PATH, which unpacks what environments share once."""
    if wanted == "newest":
        what = ["--upgrade", "torch", "numpy"]
    elif wanted:
        what = [f"torch=={wanted}.*", "numpy"]
    else:
        what = ["-c", str(ROOT / "constraints.txt"), "torch", "numpy"]
    uv = shutil.which("uv")
    if uv is None:
        return _pip(interpreter, "install", *what)
    return subprocess.run([uv, "pip", "install", "-q", "--python", str(interpreter), *what]).returncode == 0


def tried(interpreter: Path, archive: Path, folder: Path) -> dict[str, Any]:
    """Installs one archive, edits with it outside the checkout, and says how it went."""
    begin = time.monotonic()
    kind = "wheel" if archive.suffix == ".whl" else "sdist"
    _pip(interpreter, "uninstall", "--yes", "stylemap")
    if not _pip(interpreter, "install", str(archive)):
        return _row(interpreter, kind, why="pip failed")
    # A wheel brings its library: no compiler may be needed. A source archive compiles at first use.
    no_compiler = {"CXX": "/no/compiler"} if kind == "wheel" else {}
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    outside |= {"STYLEMAP_CUDA": "0", "XDG_CACHE_HOME": str(folder / "cache"), **no_compiler}
    where = folder / "outside"
    where.mkdir(exist_ok=True)
    program = str(interpreter.with_name("stylemap"))
    facts: dict[str, Any] = {}
    for command in (
        [str(interpreter), "-c", _TRY],
        [program, "sample", "--count", "1", "--output", "one.png", "--overwrite"],
        [str(interpreter), "-m", "stylemap", "--version"],
    ):
        run = subprocess.run(command, cwd=where, env=outside, capture_output=True, text=True)
        if run.returncode != 0:
            return _row(interpreter, kind, why=f"{command[1:3]}: {run.stderr.strip()[-500:]}")
        facts = facts or json.loads(run.stdout)
    why = (
        "" if facts.pop("installed") and facts["native"] else "not the installed package with native kernels"
    )
    return _row(interpreter, kind, why=why, seconds=round(time.monotonic() - begin), **facts)


def _row(interpreter: Path, kind: str, *, why: str = "", **facts: Any) -> dict[str, Any]:
    asked = [str(interpreter), "-c", "import platform; print(platform.python_version())"]
    python = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    row = {"python": python, "archive": kind, "works": not why, **facts} | ({"why": why} if why else {})
    print(" ".join(f"{name}={value}" for name, value in row.items()), flush=True)
    return row


def _keep(output: Path | None, rows: list[dict[str, Any]], commit: Path) -> None:
    """Rows of this run in place of those of an earlier one with the same Python, torch and archive."""
    if output is None:
        return

    def key(row: dict[str, Any]) -> tuple[list[int], str, str]:
        return _numbers(row["python"]), row.get("torch", ""), row["archive"]

    before = json.loads(output.read_text())["rows"] if output.exists() else []
    merged = sorted({str(key(row)): row for row in [*before, *rows]}.values(), key=key)
    facts = {
        "commit": commit.read_text().strip() if commit.exists() else "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
    }
    output.write_text(
        json.dumps({**facts, "libc": " ".join(platform.libc_ver()), "rows": merged}, indent=1) + "\n"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for every Python, a column for every torch, and what works there."""
    pythons = sorted({row["python"] for row in rows}, key=_numbers)
    torches = sorted({_release(row["torch"]) for row in rows}, key=_numbers)
    lines = [
        "| Python | " + " | ".join(f"torch {torch}" for torch in torches) + " |",
        "|---" * (len(torches) + 1) + "|",
    ]
    for python in pythons:
        cells = []
        for torch in torches:
            here = [row for row in rows if (row["python"], _release(row["torch"])) == (python, torch)]
            said = [row["archive"] + ("" if row["works"] else " **fails**") for row in here]
            cells.append(", ".join(sorted(said, reverse=True)) or "not tried")
        lines.append(f"| {python} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _release(torch: str) -> str:
    return torch.partition("+")[0]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _pip(interpreter: Path, *arguments: str) -> bool:
    # As `make wheel` does: the CUDA library takes minutes, and is none of what is tried.
    environment = {"STYLEMAP_CUDA": "0", **os.environ}
    command = [str(interpreter), "-m", "pip", *arguments, "-q"]
    return subprocess.run(command, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
