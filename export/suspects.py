"""What an ONNX graph must not hold, because public reports say that TensorRT computes it wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx
from onnx import NodeProto, TensorProto

_HALF = TensorProto.FLOAT16


@dataclass(frozen=True)
class _Node:
    """A node and the element type of its first input, 0 where it is not known."""

    proto: NodeProto
    element_type: int

    def attribute(self, name: str, default: object = None) -> object:
        for attribute in self.proto.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default


@dataclass(frozen=True)
class _Rule:
    """found: whether a node is one of these. wrong: what happens. report: where it is told."""

    operators: tuple[str, ...]
    found: Callable[[_Node], bool]
    wrong: str
    report: str


# Of norms; the editor's ReduceSum adds references of which a cell has one.
_SUMS = ("ReduceMean", "ReduceSumSquare", "ReduceL2", "Pow")
_RULES = (
    _Rule(
        ("GroupNormalization",),
        lambda node: node.attribute("num_groups") == 1,
        "one group is normalized channel by channel",
        "NVIDIA/TensorRT#4756",
    ),
    _Rule(
        ("GroupNormalization", "InstanceNormalization"),
        lambda node: node.element_type == _HALF,
        "in float16 it is far off, or does not build",
        "NVIDIA/TensorRT#2691, NVIDIA/TensorRT#3956",
    ),
    _Rule(
        ("LayerNormalization",),
        lambda node: node.element_type == _HALF,
        "in float16 it loses accuracy",
        "NVIDIA/TensorRT#4493",
    ),
    _Rule(
        _SUMS,
        lambda node: node.element_type == _HALF,
        "a norm's sums and powers overflow in float16",
        "pytorch/TensorRT#4061",
    ),
    _Rule(
        ("ConvTranspose",),
        lambda node: (
            node.attribute("output_shape") is not None
            or node.attribute("auto_pad", b"NOTSET") not in (b"NOTSET", b"")
        ),
        "padding that follows from the output's shape goes to the other side",
        "onnx/onnx-tensorrt#1042",
    ),
    _Rule(
        ("If",), lambda node: True, "what a branch gave is read in the wrong order", "NVIDIA/TensorRT#4846"
    ),
)


def suspects(model: onnx.ModelProto) -> list[str]:
    """A line for every node that TensorRT is reported to compute wrongly, with the report.

    Args:
        model: with or without its external weights.
    """
    types = _element_types(model)
    lines = []
    for proto in _nodes(model.graph):
        node = _Node(proto, types.get(proto.input[0], 0) if proto.input else 0)
        lines += [
            f"{proto.op_type} {proto.name!r}: {rule.wrong} ({rule.report})"
            for rule in _RULES
            if proto.op_type in rule.operators and rule.found(node)
        ]
    return lines


def _nodes(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Of the graph and of the branches inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {
        info.name: info.type.tensor_type.elem_type
        for info in (*graph.value_info, *graph.input, *graph.output)
    }
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}
