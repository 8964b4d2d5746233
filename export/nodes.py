"""Nodes, weights, inputs and outputs of an ONNX graph while it is being built."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

FLOATS = {
    "fp32": (TensorProto.FLOAT, torch.float32),
    "fp16": (TensorProto.FLOAT16, torch.float16),
    "bf16": (TensorProto.BFLOAT16, torch.bfloat16),
}
_ELEMENTS = {dtype: element for element, dtype in FLOATS.values()} | {
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.float8_e4m3fn: TensorProto.FLOAT8E4M3FN,
}


class Value(NamedTuple):
    """A tensor of the graph: its name, and the size of dimension 1 (channels)."""

    name: str
    channels: int


class Nodes:
    """An ONNX graph in the making. dtype, element_type: of activations and weights, as ``precision`` says."""

    def __init__(self, precision: str) -> None:
        self.element_type, self.dtype = FLOATS[precision]
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._names: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[int | str], element_type: int) -> Value:
        """A graph input; dimensions given as text are dynamic."""
        self.inputs.append(helper.make_tensor_value_info(name, element_type, list(shape)))
        return Value(name, shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 0)

    def output(self, value: Value, name: str, shape: Sequence[int | str]) -> None:
        """Make a value an output of the graph under this name: the node that makes it is renamed."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, found in enumerate(names):
                    if found == value.name:
                        names[index] = name
        self.outputs.append(helper.make_tensor_value_info(name, self.element_type, list(shape)))

    def weight(self, value: Tensor, name: str, dtype: torch.dtype | None = None) -> str:
        """An initializer. Equal ones are stored once."""
        stored = value.detach().to(dtype or self.dtype).contiguous()
        raw = stored.reshape(-1).view(torch.uint8).numpy().tobytes() if stored.numel() else b""
        key = hashlib.sha256(raw).hexdigest() + f"{stored.dtype}{tuple(stored.shape)}"
        if key not in self.initializers:
            tensor = helper.make_tensor(
                self._unique(name), _ELEMENTS[stored.dtype], stored.shape, raw, raw=True
            )
            self.initializers[key] = tensor
        return self.initializers[key].name

    def integers(self, values: Sequence[int] | int) -> str:
        """int64: a list, or a scalar."""
        text = str(values) if isinstance(values, int) else ",".join(map(str, values[:4]))
        return self.weight(torch.tensor(values), f"constant/[{text}]", torch.int64)

    def node(self, kind: str, inputs: Sequence[str], name: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its output, or of the first, which then ends in ".0"."""
        name = self._unique(name)
        made = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, name=name, **attributes))
        return made[0]

    def to_float(self, x: str, name: str) -> str:
        """An activation as float32."""
        if self.element_type == TensorProto.FLOAT:
            return x
        return self.node("Cast", [x], f"{name}/float", to=TensorProto.FLOAT)

    def from_float(self, x: str, name: str) -> str:
        """A float32 value as an activation."""
        if self.element_type == TensorProto.FLOAT:
            return x
        return self.node("Cast", [x], f"{name}/narrow", to=self.element_type)

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else self._unique(f"{name}_{count}")
