"""A stand-in for the TensorRT runtime: its engines are ONNX files, run on CPU memory by address.

It has what `EngineSession` calls, so that shapes, dtypes, addresses, caching and errors can be tested
where there is no GPU. `calls` counts executions.
"""

from __future__ import annotations

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

__version__ = "10.13.0"
calls: list[dict[str, tuple[int, ...]]] = []

TensorIOMode = enum.Enum("TensorIOMode", ["INPUT", "OUTPUT"])
_DTYPES = {
    "tensor(float)": ("FLOAT", np.float32),
    "tensor(float16)": ("HALF", np.float16),
    "tensor(int64)": ("INT64", np.int64),
}


class ILogger:
    pass


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = next(iter(self.shapes.values()))[0]
        return (batch, *self.engine.nodes[name].shape[1:])

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        calls.append(dict(self.shapes))
        feeds = {name: self._memory(name, shape).copy() for name, shape in self.shapes.items()}
        names = [node.name for node in self.engine.session.get_outputs()]
        for name, value in zip(names, self.engine.session.run(None, feeds)):
            self._memory(name, value.shape)[...] = value
        return True

    def _memory(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(_DTYPES[self.engine.nodes[name].type][1])
        size = int(np.prod(shape)) * dtype.itemsize
        buffer = (ctypes.c_char * size).from_address(self.addresses[name])
        return np.frombuffer(buffer, dtype).reshape(shape)


class Engine:
    def __init__(self, content: bytes) -> None:
        self.session = onnxruntime.InferenceSession(content)
        self.nodes = {node.name: node for node in [*self.session.get_inputs(), *self.session.get_outputs()]}
        self.num_io_tensors = len(self.nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        inputs = [node.name for node in self.session.get_inputs()]
        return TensorIOMode.INPUT if name in inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=_DTYPES[self.nodes[name].type][0])

    def create_execution_context(self) -> Context:
        return Context(self)


class Runtime:
    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
        if content.startswith(b"broken"):
            self.logger.log(SimpleNamespace(value=1), "the plan is\nbroken")
            return None
        return Engine(content)
