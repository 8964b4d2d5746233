"""What each graph computes, and graphs as ONNX models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
from onnx import TensorProto, helper
from torch import Tensor

from stylemap.export import network
from stylemap.export.graph import GraphBuilder
from stylemap.export.network import Layers, Operators, V
from stylemap.export.ports import ALL, inputs, outputs
from stylemap.model import StyleMapGAN

# All operators are defined in these versions in the way they are used here.
OPSETS = range(18, 24)
DEFAULT_OPSET = 20
# Conv takes bfloat16 from version 22.
BF16_OPSET = 22


def compute(op: Operators[V], model: StyleMapGAN, graph: str, values: Mapping[str, V]) -> list[V]:
    """The outputs of one of `ports.ALL`, in the order of `outputs`, from its inputs by name."""
    config, decoder = model.config, model.generator.decoder
    count = len(config.stylecode_shapes)
    if graph == "mapping":
        return [network.mapping(op, model.generator.mapping_z, values["z"], class_vector(model))]
    if graph == "encoder":
        return [network.encoder(op, model.encoder, values["images"])]

    def all_of(stem: str) -> list[V]:
        return [values[f"{stem}_{index}"] for index in range(count)]

    if graph in ("editor", "cached_editor"):
        codes, laid = all_of("codes"), all_of("reference_codes")
        layers = Layers(values["masks"], values["shifts"], values["weights"], config.size)
        if graph == "editor":
            return [network.editor(op, decoder, config, codes, laid, layers)]
        cached = (codes, all_of("maps")), (laid, all_of("reference_maps"))
        return [network.cached_editor(op, decoder, config, *cached, layers)]
    if graph == "maps":
        return network.maps(op, decoder, all_of("codes"))
    if graph == "synthesis":
        codes = all_of("codes")
    else:
        encode = graph == "reconstruct"
        w = network.encoder(op, model.encoder, values["images"]) if encode else values["w"]
        codes = network.stylecodes(op, decoder.convs_latent, w)
    return codes if graph == "stylecodes" else [network.synthesis(op, decoder, codes)]


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
    builder: Callable[[str], GraphBuilder] = GraphBuilder,
) -> onnx.ModelProto:
    """One of `ports.ALL` as an ONNX model with the shapes of all its tensors, checked.

    Raises:
        ValueError: an opset that was not tested, or too old for the precision.
        onnx.checker.ValidationError: a fault of this module.
    """
    check_opset(opset, precision)
    nodes = builder(precision)
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


def _model(nodes: GraphBuilder, graph: str, opset: int) -> onnx.ModelProto:
    weights = list(nodes.initializers.values())
    proto = helper.make_graph(nodes.nodes, graph, nodes.inputs, nodes.outputs, weights, ALL[graph])
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
