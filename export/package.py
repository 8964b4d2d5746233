"""The TensorRT packages: `tensorrt` for any NVIDIA GPU at hand, `tensorrt_rtx` also ahead of time.

Both have one API; what differs is gathered here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import torch

from stylemap.optional import how_to_install

NAMES = ("tensorrt", "tensorrt-rtx")
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


@dataclass(frozen=True)
class Package:
    """An imported package. name: one of NAMES; trt: its module."""

    name: str
    trt: Any
    version: str

    @property
    def ahead_of_time(self) -> bool:
        """Whether it builds for GPUs that are not there."""
        return self.name == "tensorrt-rtx"

    def compute_capabilities(self) -> list[str]:
        """The compute capabilities it builds for ahead of time, as in 8.9."""
        if not self.ahead_of_time:
            return []
        members = (name for name in self.trt.ComputeCapability.__members__ if name.startswith("SM"))
        return sorted((f"{name[2:-1]}.{name[-1]}" for name in members), key=float)

    def strongly_typed(self) -> int:
        """The flags of a network whose types are those of the graph, as from TensorRT 11 on all are.

        Raises:
            RuntimeError: a TensorRT before 10, which has no such networks.
        """
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        if flag is not None:
            return 1 << int(flag)
        if not self.ahead_of_time and int(self.version.split(".")[0]) < 11:
            raise RuntimeError(f"{self.name} {self.version} has no strongly typed networks: 10 or later has")
        return 0

    def member(self, capability: str) -> Any:
        """Its name for a compute capability."""
        return getattr(self.trt.ComputeCapability, "SM" + capability.replace(".", ""))


def load(name: str = "auto") -> Package:
    """One of NAMES, or "auto": tensorrt where it is installed and there is a GPU, else tensorrt-rtx.

    Raises:
        ImportError: none is installed, or it cannot be imported; the message says why.
    """
    order = NAMES if torch.cuda.is_available() else tuple(reversed(NAMES))
    reasons = []
    for candidate in order if name == "auto" else (name,):
        try:
            trt = importlib.import_module(MODULES[candidate])
            return Package(candidate, trt, trt.__version__)
        except (ImportError, OSError, AttributeError) as error:
            reasons.append(f"{candidate}: {error}")
    raise ImportError(
        f"TensorRT is not installed ({'; '.join(reasons)}): {how_to_install('tensorrt-rtx')}, or tensorrt"
    )


def gpu() -> tuple[str, str] | None:
    """Name and compute capability of the GPU at hand."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return torch.cuda.get_device_name(), f"{major}.{minor}"


@dataclass
class Log:
    """What TensorRT said: its errors, and which nodes of the ONNX graph each of its layers holds."""

    errors: list[str] = field(default_factory=list)
    fused: dict[str, list[str]] = field(default_factory=dict)

    def add(self, severity: int, text: str) -> None:
        """severity: 0 internal error, 1 error, 2 warning, …"""
        if severity <= 1:
            self.errors.append(" ".join(text.split()))
        if " metadata: [ONNX Layer: " in text:
            layer, _, nodes = text.partition(" metadata: ")
            names = [item.strip().removeprefix("[ONNX Layer: ").rstrip("]") for item in nodes.split("\x1e")]
            self.fused[layer] = names

    def reason(self) -> str:
        """The first error, which the others follow from."""
        text = self.errors[0] if self.errors else "it gave no reason"
        return text if len(text) <= 300 else text[:297] + "..."


def make_logger(package: Package, log: Log) -> Any:
    """A logger of the package that writes to ``log`` instead of the terminal."""
    trt = package.trt

    class Logger(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            log.add(int(severity.value), message)

    return Logger()
