"""What the numbers depend on: processor, threads, versions, commit; and how much memory a process takes."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

import stylemap

PACKAGES = ("numpy", "onnxruntime", "openvino", "ncnn", "triton", "tensorrt")
# What vector code is chosen by.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "neon", "asimd")
_ROOT = Path(__file__).resolve().parent.parent


def describe(device: torch.device) -> dict[str, Any]:
    """The machine as JSON holds it; see schema.json."""
    info = _cpu_info()
    found: dict[str, Any] = {
        "cpu": info.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "instructions": [name for name in _INSTRUCTIONS if name in info.get("flags", "").split()],
        "memory_gib": round(memory_total() / 2**20, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "stylemap": stylemap.__version__,
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "device": "cpu",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["device"] = properties.name
        found["gpu"] = {
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda or "",
            "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        }
    return found


def memory_total() -> int:
    """KiB of memory in this machine; 0 where it is not known."""
    return _field("/proc/meminfo", "MemTotal")


def resident(process: int | str = "self") -> int:
    """KiB that a process holds in memory now; 0 where it is not known or the process has ended."""
    return _field(f"/proc/{process}/status", "VmRSS")


def peak_resident() -> int:
    """KiB this process held at most, since its start or the last `forget_peak`."""
    return _field("/proc/self/status", "VmHWM")


def forget_peak() -> None:
    """Start a new measurement of `peak_resident`. Raises OSError where /proc does not allow it."""
    Path("/proc/self/clear_refs").write_text("5")


def _field(file: str, name: str) -> int:
    path = Path(file)
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def _cpu_info() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    block = path.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _git(*arguments: str) -> str:
    """Of the checkout this file lies in; "" in an installed package."""
    return _output("git", *arguments) if (_ROOT / ".git").exists() else ""


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()
