"""What the runtimes have in common."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stylemap.export.description import Description

PROVIDERS = (
    "onnxruntime",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "openvino",
    "openvino-bf16",
    "tensorrt",
)
ONNX_SUFFIX, ENGINE_SUFFIX = ".onnx", ".engine"


class Session(ABC):
    """A graph that can be run.

    device: where inputs are expected and outputs appear. max_batch: the largest batch that `run` takes;
    None where there is no limit. max_references: likewise of the editor's references.
    """

    description: Description
    provider: str
    device: torch.device
    max_batch: int | None = None
    max_references: int | None = None

    @abstractmethod
    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name. Floating-point inputs may be of any dtype; such outputs are float32.

        Inputs are complete and of the right shapes: `stylemap.export.runtime.Runtime` checks them.
        """


def default_provider(suffixes: Sequence[str]) -> str:
    """The best one here for files of these kinds, the first that this machine can run.

    Engines run on a GPU only; where there is none, ONNX files beside them serve.
    """
    if ENGINE_SUFFIX in suffixes and (torch.cuda.is_available() or ONNX_SUFFIX not in suffixes):
        return "tensorrt"
    if torch.cuda.is_available() and importlib.util.find_spec("onnxruntime") is not None:
        available = importlib.import_module("onnxruntime").get_available_providers()
        if "CUDAExecutionProvider" in available:
            return "onnxruntime-cuda"
    return "onnxruntime"


def one_line(error: Exception) -> str:
    """The first line of an error that a runtime raised, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
