"""ONNX Runtime: CPU, and its CUDA and TensorRT providers where the installed package has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylemap.export.description import Description
from stylemap.export.sessions.base import Session, one_line
from stylemap.optional import require

_PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}
_DTYPES = {
    "tensor(float)": (torch.float32, np.float32),
    "tensor(float16)": (torch.float16, np.float16),
    "tensor(int64)": (torch.int64, np.int64),
}


class OnnxRuntimeSession(Session):
    """Inputs and outputs are bound as they lie in memory: no copies between torch and the runtime."""

    def __init__(self, path: Path, provider: str, threads: int | None) -> None:
        ort = require("onnxruntime", "running ONNX files")
        chosen = _PROVIDERS[provider]
        if chosen not in ort.get_available_providers():
            raise RuntimeError(
                f"this ONNX Runtime has no {chosen} (it has {', '.join(ort.get_available_providers())}): "
                "install onnxruntime-gpu"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        # The CPU takes what a GPU provider cannot: only shapes and indices of the editor's blend.
        providers = [chosen] if provider == "onnxruntime" else [chosen, "CPUExecutionProvider"]
        try:
            self.session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime cannot load {path}: {_without_code(error)}") from error
        if chosen not in self.session.get_providers():
            raise RuntimeError(f"{chosen} could not be started: is there a GPU with its libraries?")
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.description = Description.from_metadata(metadata, str(path))
        self.provider = provider
        self.device = torch.device("cpu" if provider == "onnxruntime" else "cuda")
        self.path = path

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`. Raises RuntimeError where ONNX Runtime fails."""
        binding = self.session.io_binding()
        held = [self._bind_input(binding, node, inputs[node.name]) for node in self.session.get_inputs()]
        sizes = {
            dimension: size
            for node, value in zip(self.session.get_inputs(), held)
            for dimension, size in zip(node.shape, value.shape)
        }
        outputs = {}
        for node in self.session.get_outputs():
            shape = [sizes.get(node.shape[0], len(held[0]))]
            shape += [sizes[size] if isinstance(size, str) else size for size in node.shape[1:]]
            outputs[node.name] = torch.empty(shape, dtype=_DTYPES[node.type][0], device=self.device)
            self._bind(binding.bind_output, node, outputs[node.name])
        if self.device.type == "cuda":
            # ONNX Runtime has a stream of its own; it must not start before the inputs are there.
            torch.cuda.current_stream().synchronize()
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime failed on {self.path}: {_without_code(error)}") from error
        binding.synchronize_outputs()
        return {name: value.float() for name, value in outputs.items()}

    def _bind_input(self, binding: Any, node: Any, value: Tensor) -> Tensor:
        value = value.detach().to(self.device, _DTYPES[node.type][0]).contiguous()
        self._bind(binding.bind_input, node, value)
        return value

    def _bind(self, bind: Any, node: Any, value: Tensor) -> None:
        index = self.device.index or 0
        bind(
            node.name,
            self.device.type,
            index,
            _DTYPES[node.type][1],
            tuple(value.shape),
            value.data_ptr(),
        )


def _without_code(error: Exception) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(error))
