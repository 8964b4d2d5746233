"""TensorRT 10 and 11 by stand-ins, and what neither computes rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from stylemap.export import export_onnx, ports  # noqa: E402
from stylemap.export.engine_options import CheckedOptions, EngineOptions  # noqa: E402
from stylemap.export.package import Package  # noqa: E402
from stylemap.export.suspects import suspects  # noqa: E402
from stylemap.export.tensorrt import build_engine  # noqa: E402
from tests.export import fake_builder  # noqa: E402
from tests.helpers import tiny  # noqa: E402

VERSIONS = ["10.9.0", "10.13.3", "11.0.0", "11.4.0"]


def checked(trt: Any) -> CheckedOptions:
    package = Package("tensorrt", trt, trt.__version__)
    return CheckedOptions(package, ("9.0",), "a GPU", EngineOptions(package="tensorrt"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_graph_builds_by_what_the_version_has(version: str, exported: Path, tmp_path: Path) -> None:
    trt = fake_builder.tensorrt(version)
    for graph in ports.ALL:
        sidecar = build_engine(exported / f"{graph}.onnx", tmp_path / "x.engine", checked(trt))
        assert sidecar.version == version
        assert (tmp_path / "x.engine").read_bytes() == f"engine of {version}".encode()
    assert len(trt.networks) == len(ports.ALL)


def test_a_version_without_strong_types_is_refused(exported: Path, tmp_path: Path) -> None:
    trt = fake_builder.tensorrt("11.0.0")
    trt.__version__ = "9.3.0"
    with pytest.raises(
        RuntimeError, match=r"tensorrt 9\.3\.0 has no strongly typed networks: 10 or later has"
    ):
        build_engine(exported / "mapping.onnx", tmp_path / "x.engine", checked(trt))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_our_graphs_hold_nothing_suspect_in_half_precision(precision: str, tmp_path: Path) -> None:
    export_onnx(tiny.model(), tmp_path, ports.ALL, precision=precision, photos=tiny.photos(1), batches=(1,))
    for graph in ports.ALL:
        assert suspects(onnx.load(tmp_path / f"{graph}.onnx")) == [], graph


def test_our_graphs_hold_nothing_suspect(exported: Path) -> None:
    for graph in ports.ALL:
        assert suspects(onnx.load(exported / f"{graph}.onnx")) == [], graph


def model_of(op: str, element_type: int, **attributes: Any) -> Any:
    """A graph of one node. Inputs after the first are initializers without contents: none is computed."""
    x, y = (helper.make_tensor_value_info(name, element_type, [1, 8, 4, 4]) for name in "xy")
    node = helper.make_node(op, ["x", "w", "b"], ["y"], name="planted", **attributes)
    return helper.make_model(helper.make_graph([node], "g", [x], [y]))


@pytest.mark.parametrize(
    ("op", "element_type", "attributes", "report"),
    [
        ("GroupNormalization", TensorProto.FLOAT, {"num_groups": 1}, "#4756"),
        ("InstanceNormalization", TensorProto.FLOAT16, {}, "#2691"),
        ("LayerNormalization", TensorProto.FLOAT16, {}, "#4493"),
        ("ReduceMean", TensorProto.FLOAT16, {}, "#4061"),
        ("ConvTranspose", TensorProto.FLOAT, {"output_shape": [9, 9]}, "#1042"),
        ("ConvTranspose", TensorProto.FLOAT, {"auto_pad": "SAME_UPPER"}, "#1042"),
    ],
)
def test_what_is_reported_is_found(
    op: str, element_type: int, attributes: dict[str, Any], report: str
) -> None:
    (line,) = suspects(model_of(op, element_type, **attributes))
    assert line.startswith(f"{op} 'planted': ")
    assert report in line


@pytest.mark.parametrize(
    ("op", "element_type", "attributes"),
    [
        ("GroupNormalization", TensorProto.FLOAT, {"num_groups": 8}),
        ("ReduceMean", TensorProto.FLOAT, {}),
        ("ConvTranspose", TensorProto.FLOAT16, {"strides": [2, 2], "auto_pad": "NOTSET"}),
    ],
)
def test_what_is_right_is_let_through(op: str, element_type: int, attributes: dict[str, Any]) -> None:
    assert suspects(model_of(op, element_type, **attributes)) == []


def test_branches_are_found_and_looked_into(exported: Path, tmp_path: Path) -> None:
    """A suspect file is refused, with its nodes."""
    model = onnx.load(exported / "mapping.onnx")
    inner = model_of("GroupNormalization", TensorProto.FLOAT, num_groups=1).graph
    branch = helper.make_node("If", ["c"], ["z"], name="branch", then_branch=inner, else_branch=inner)
    model.graph.node.append(branch)
    onnx.save(model, tmp_path / "mapping.onnx")
    with pytest.raises(ValueError, match=r"computes wrongly, export it again: If 'branch': .*#4846.*#4756"):
        build_engine(
            tmp_path / "mapping.onnx", tmp_path / "x.engine", checked(fake_builder.tensorrt("11.0.0"))
        )
