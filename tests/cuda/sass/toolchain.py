"""The compilers this needs, and where what they make is kept."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from stylemap import _build

ENGINE = Path(__file__).resolve().parent / "engine"
#: What is built for a source tree stays there: 60 MB each.
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
