"""The compilers this needs, and where what they make is kept."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from stylemap import _build

ENGINE = Path(__file__).resolve().parent / "engine"
#: Files of the build that nothing has used for a while are not removed: a build is 60 MB.
CACHE = Path(__file__).resolve().parents[3] / "build" / "sass"


def nvdisasm() -> Path | None:
    """The disassembler of the package nvidia-cuda-nvdisasm, or one on PATH."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations or [] if spec else []:
        for path in sorted(Path(root).glob("*/bin/nvdisasm")):
            return path
    found = shutil.which("nvdisasm")
    return Path(found) if found else None


def missing() -> str:
    """What is not there for executing machine code; empty where everything is."""
    lacking = []
    if _build.cuda_home() is None:
        lacking.append("nvcc")
    if nvdisasm() is None:
        lacking.append("nvdisasm (pip install nvidia-cuda-nvdisasm)")
    if importlib.util.find_spec("elftools") is None:
        lacking.append("pyelftools")
    return " and ".join(lacking)


def required() -> bool:
    """Whether their absence is a failure: where CI is set."""
    return os.environ.get("CI", "") not in ("", "0")


def digest(paths: Iterable[Path], *words: str) -> str:
    """Hash of the contents of files, of their names and of further words."""
    made = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        made.update(path.name.encode() + b"\0")
        made.update(path.read_bytes())
    return made.hexdigest()[:16]
