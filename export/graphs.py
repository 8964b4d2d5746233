"""What each graph computes, and graphs as ONNX models."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Named
from typing import Protocol

import onnx
from onnx import TensorProto, helper
from torch import Tensor

from stylemap import program
from stylemap.export.lowering import OnnxLowering
from stylemap.export.ports import ALL, BROWSER, inputs, outputs
from stylemap.model import StyleMapGAN
from stylemap.program import Mapping, Overlay, Overlaying, Weights
from stylemap.program.lowering import S, V

# All operators are defined in these versions in the way they are used here.
OPSETS = range(18, 24)
DEFAULT_OPSET = 20
# Conv takes bfloat16 from version 22.
BF16_OPSET = 22


class Exporting(Overlaying[V, S], Mapping[V], Protocol[V, S]):
    """What computes any graph."""


def compute(op: Exporting[V, S], model: StyleMapGAN, graph: str, values: Named[str, V]) -> list[V]:
    """The outputs of one of `ports.ALL` or `BROWSER`, in the order of `outputs`, from its inputs by name.

    model: gives the configuration and the vector of the class; the weights are those of ``op``.
    """
    net = program.network(model.config)

    def all_of(stem: str) -> list[V]:
        return [values[f"{stem}_{index}"] for index in range(len(net.maps))]

    if graph == "mapping":
        return [program.mapping(op, net, values["z"], class_vector(model))]
    if graph in ("encoder", "reconstruct"):
        w = program.encode(op, net, values["images"])
        return [w if graph == "encoder" else program.decode(op, net, w)]
    if graph == "stylecodes":
        return list(program.stylecodes(op, net, values["w"]))
    if graph == "decoder":
        return [program.decode(op, net, values["w"])]
    if graph == "picture":
        return [program.synthesize_from_maps(op, net, all_of("maps"))]
    codes = all_of("codes")
    if graph == "synthesis":
        return [program.synthesize(op, net, codes)]
    if graph in ("maps", "part_maps"):
        return list(program.maps(op, net, codes))
    laid = all_of("reference_codes")
    overlay = Overlay(values["masks"], values["shifts"], values["weights"], model.config.size)
    if graph == "editor":
        return [program.edit(op, net, codes, laid, overlay)]
    cached = (codes, all_of("maps")), (laid, all_of("reference_maps"))
    return [program.edit_cached(op, net, *cached, overlay)]


def class_vector(model: StyleMapGAN) -> Tensor | None:
    """What is added to z: of a model of one class its vector, 1×K; of an unconditional one nothing.

    Raises ValueError for several classes: a graph takes z alone.
    """
    if model.class_vectors is None:
        return None
    if len(model.class_names) > 1:
        raise ValueError(
            f"the mapping graph of a class-conditional model is of one class: choose among"
            f" {', '.join(model.class_names)} (--class), or leave the mapping graph out"
        )
    return model.class_vectors.weight.detach().double().cpu()


def build(
    model: StyleMapGAN,
    graph: str,
    precision: str = "fp32",
    opset: int = DEFAULT_OPSET,
    lowering: Callable[[Weights, str], OnnxLowering] = OnnxLowering,
) -> onnx.ModelProto:
    """One of `ports.ALL` or `ports.BROWSER` as an ONNX model with the shapes of all its tensors, checked.

    Raises:
        ValueError: an opset that was not tested, or too old for the precision.
        onnx.checker.ValidationError: a fault of this module.
    """
    check_opset(opset, precision)
    nodes = lowering(Weights(model), precision)
    kinds = {"float": nodes.element_type, "mask": TensorProto.FLOAT, "integer": TensorProto.INT64}
    config = model.config
    values = {
        port.name: nodes.input(port.name, port.shape, kinds[port.kind]) for port in inputs(graph, config)
    }
    results = compute(nodes, model, graph, values)
    for value, port in zip(results, outputs(graph, config), strict=True):
        nodes.output(value, port.name, port.shape)
    return _model(nodes, graph, opset)


def check_opset(opset: int, precision: str) -> None:
    """Raise ValueError for an opset that graphs of this precision are not made for."""
    first = BF16_OPSET if precision == "bf16" else OPSETS.start
    if opset not in OPSETS or opset < first:
        raise ValueError(f"opset must be {first} to {OPSETS[-1]} for {precision}, got {opset}")


def _model(nodes: OnnxLowering, graph: str, opset: int) -> onnx.ModelProto:
    weights = list(nodes.initializers.values())
    proto = helper.make_graph(
        nodes.nodes, graph, nodes.inputs, nodes.outputs, weights, (ALL | BROWSER)[graph]
    )
    opsets = [helper.make_opsetid("", opset)]
    # Standard operators only, but where an engine is built with plugins.
    opsets += [helper.make_opsetid(domain, 1) for domain in sorted({n.domain for n in nodes.nodes} - {""})]
    model = helper.make_model(
        proto,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets, ignore_unknown=True),
        producer_name="stylemap",
    )
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model
