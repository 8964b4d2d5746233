"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylemap.export.description import PREFIX, Description
from stylemap.export.sessions.base import Session, one_line
from stylemap.export.sessions.signal_stack import kept_signal_stack
from stylemap.optional import require


class OpenVinoSession(Session):
    """provider "openvino" computes in the file's precision, "openvino-bf16" in bfloat16."""

    def __init__(self, path: Path, provider: str, threads: int | None) -> None:
        openvino = require("openvino", "provider openvino")
        properties: dict[str, object] = {
            # Left alone, OpenVINO takes bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": "bf16" if provider == "openvino-bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            properties["INFERENCE_NUM_THREADS"] = threads
        try:
            with kept_signal_stack():
                core = openvino.Core()
                self.model = core.compile_model(core.read_model(path), "CPU", properties)
        except Exception as error:
            raise RuntimeError(f"OpenVINO cannot load {path}: {one_line(error)}") from error
        self.description = Description.from_metadata(_metadata(path), str(path))
        self.provider = provider
        self.device = torch.device("cpu")

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`. Outputs are copies."""
        arrays = {}
        for port in self.model.inputs:
            dtype = port.get_element_type().to_dtype()
            arrays[port.any_name] = np.ascontiguousarray(inputs[port.any_name].detach().numpy().astype(dtype))
        results = self.model(arrays, share_inputs=True)
        # The results lie in buffers that the next request reuses.
        return {
            port.any_name: torch.from_numpy(results[port].astype(np.float32)) for port in self.model.outputs
        }


def _metadata(path: Path) -> dict[str, str]:
    onnx = require("onnx", "provider openvino")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ValueError(f"{path} is not an ONNX file: {one_line(error)}") from error
    return {item.key: item.value for item in model.metadata_props if item.key.startswith(PREFIX)}
