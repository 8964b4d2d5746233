"""Engines built ahead of time by TensorRT for RTX, which takes no GPU."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap.export import package, ports  # noqa: E402
from stylemap.export.engine_options import CheckedOptions, EngineOptions, checked_options  # noqa: E402
from stylemap.export.engines import describe_built, export_tensorrt  # noqa: E402
from stylemap.export.sidecar import digest, read_sidecar, sidecar_path  # noqa: E402
from stylemap.export.tensorrt import build_engine  # noqa: E402
from stylemap.export.verify import MismatchError  # noqa: E402
from tests.helpers import tiny  # noqa: E402

RTX = EngineOptions(package="tensorrt-rtx")
rtx = needs.installed("tensorrt_rtx")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture(scope="module")
def ahead() -> CheckedOptions:
    return checked_options(dataclasses.replace(RTX, gpus=("8.6", "12.0"), max_batch=4, max_references=3))


@rtx
@pytest.mark.parametrize("graph", ports.ALL)
def test_every_graph_builds(graph: str, exported: Path, ahead: CheckedOptions, tmp_path: Path) -> None:
    target, steps = tmp_path / "x.engine", []
    sidecar = build_engine(exported / f"{graph}.onnx", target, ahead, steps.append)
    assert target.stat().st_size > 10_000
    assert sidecar.description.graph == graph
    assert sidecar.gpus == ("8.6", "12.0")
    assert sidecar.batches == (1, 1, 4)
    assert sidecar.max_references == (3 if "editor" in graph else 0)
    assert sidecar.engine == digest(target)
    assert sidecar.onnx == digest(exported / f"{graph}.onnx")
    assert sidecar.verified["by"] is None
    assert f"{graph}: building engine" in steps
    # Every convolution of the graph is in a layer of the engine.
    proto = onnx.load(exported / f"{graph}.onnx")
    held = {name for names in sidecar.layers.values() for name in names}
    assert {
        node.name for node in proto.graph.node if "Conv" in node.op_type or node.op_type == "Gemm"
    } <= held


@rtx
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_low_precision(precision: str, tmp_path: Path) -> None:
    options = dataclasses.replace(RTX, gpus=("8.9",))
    (built,) = export_tensorrt(
        tiny.model(), tmp_path, ["decoder"], precision=precision, options=options, photos=tiny.photos(1)
    )
    assert built.path == tmp_path / "decoder.engine"
    assert {path.name for path in tmp_path.iterdir()} == {
        "decoder.onnx",
        "decoder.engine",
        "decoder.engine.json",
    }
    sidecar = read_sidecar(built.path)
    assert sidecar == built.sidecar
    assert sidecar.description.precision == precision
    assert 1e-5 < sidecar.description.verified["relative_error"] < 2e-2
    assert "engine not run: no GPU that it is for" in describe_built(built)


@rtx
@without_gpu
def test_float8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylemap.export.quantized.LEAST_PSNR", 25.0)  # of weights nobody trained
    (built,) = export_tensorrt(
        tiny.model(), tmp_path, ["decoder"], precision="fp8", options=RTX, photos=tiny.photos(4)
    )
    assert built.sidecar.gpus == ("8.9", "12.0")
    assert built.sidecar.description.precision == "fp8"
    proto = onnx.load(tmp_path / "decoder.onnx")
    types = [t.data_type for t in proto.graph.initializer]
    assert onnx.TensorProto.FLOAT8E4M3FN in types
    assert onnx.TensorProto.FLOAT not in [info.type.tensor_type.elem_type for info in proto.graph.output]


@rtx
def test_float8_takes_a_gpu_that_has_it(tmp_path: Path) -> None:
    options = dataclasses.replace(RTX, gpus=("8.6", "8.9"))
    with pytest.raises(ValueError, match=r"fp8 takes compute capability 8\.9 or later, and 8\.6 is earlier"):
        export_tensorrt(tiny.model(), tmp_path, precision="fp8", options=options, photos=tiny.photos(4))
    with pytest.raises(ValueError, match="fp8 is calibrated on photos"):
        export_tensorrt(
            tiny.model(), tmp_path, precision="fp8", options=dataclasses.replace(RTX, gpus=("8.9",))
        )
    assert not list(tmp_path.iterdir())


@rtx
@without_gpu
def test_the_usual_gpus_without_one() -> None:
    assert checked_options(RTX).gpus == ("8.0", "8.6", "8.9", "12.0")
    assert checked_options(EngineOptions()).package.name == "tensorrt-rtx"


@rtx
def test_version_compatible(exported: Path, tmp_path: Path) -> None:
    checked = checked_options(dataclasses.replace(RTX, gpus=("8.9",), version_compatible=True))
    assert build_engine(exported / "mapping.onnx", tmp_path / "x.engine", checked).version_compatible


@rtx
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"gpus": ("9.0",)}, ValueError, r"does not build for compute capability 9\.0 \(it has 7\.5, 8\.0, "),
        ({"gpus": ("nonsense",)}, ValueError, "compute capability nonsense"),
        ({"max_batch": 0}, ValueError, "best batch must be 1 to 0, got 1"),
        ({"best_batch": 9}, ValueError, "best batch must be 1 to 8, got 9"),
        ({"max_references": 0}, ValueError, "an editor needs at least 1 reference, got 0"),
        ({"timing_cache": Path("x")}, ValueError, "TensorRT for RTX .* has no timing cache"),
    ],
)
def test_refused_options(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        checked_options(dataclasses.replace(RTX, **options))


@rtx
@without_gpu
def test_weight_stripping_takes_a_gpu() -> None:
    with pytest.raises(RuntimeError, match="strips weights only where there is a GPU"):
        checked_options(dataclasses.replace(RTX, weight_stripped=True))


@pytest.mark.parametrize("name", package.NAMES)
def test_missing_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_module(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}")

    monkeypatch.setattr(package.importlib, "import_module", no_module)
    for wanted in (name, "auto"):
        with pytest.raises(ImportError, match=r"TensorRT is not installed .*pip install 'stylemap\[tensorrt"):
            checked_options(EngineOptions(package=wanted))


class FullTensorRT:
    """Enough of the tensorrt package to plan with."""

    __version__ = "10.13.0"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[str, str] | None], None]:
    """Pretend that tensorrt is installed, and this GPU there."""
    real = importlib.import_module

    def install(here: tuple[str, str] | None) -> None:
        monkeypatch.setattr(
            package.importlib, "import_module", lambda n: FullTensorRT if n == "tensorrt" else real(n)
        )
        monkeypatch.setattr("stylemap.export.engine_options.gpu", lambda: here)

    return install


def test_the_full_package_takes_the_gpu_at_hand(full: Callable[[Any], None]) -> None:
    options = EngineOptions(package="tensorrt")
    full(None)
    with pytest.raises(RuntimeError, match="for the GPU at hand, and there is none; tensorrt-rtx builds"):
        checked_options(options)
    full(("NVIDIA H200", "9.0"))
    checked = checked_options(options)
    assert (checked.gpus, checked.gpu, checked.ahead_of_time) == (("9.0",), "NVIDIA H200", False)
    with pytest.raises(ValueError, match=r"compute capability 9\.0, not for 8\.9"):
        checked_options(dataclasses.replace(options, gpus=("9.0", "8.9")))


@rtx
def test_rtx_on_a_gpu_it_does_not_have(full: Callable[[Any], None]) -> None:
    full(("NVIDIA H200", "9.0"))
    with pytest.raises(RuntimeError, match=r"not build for compute capability 9\.0 .*the tensorrt package"):
        checked_options(RTX)


@rtx
def test_files_that_are_no_graphs(ahead: CheckedOptions, tmp_path: Path, exported: Path) -> None:
    source = tmp_path / "x.onnx"
    source.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"x\.onnx (is not an ONNX file|was not written)"):
        build_engine(source, tmp_path / "x.engine", ahead)
    proto = onnx.load(exported / "encoder.onnx")
    proto.graph.node[0].op_type = "Unheard"
    onnx.save(proto, source)
    with pytest.raises(RuntimeError, match=r"TensorRT cannot parse .*x\.onnx: .*"):
        build_engine(source, tmp_path / "x.engine", ahead)
    proto = onnx.load(exported / "encoder.onnx")
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = "other"
    onnx.save(proto, source)
    with pytest.raises(RuntimeError, match=r"TensorRT reads .*x\.onnx as .*other"):
        build_engine(source, tmp_path / "x.engine", ahead)
    assert not (tmp_path / "x.engine").exists()


@rtx
def test_nothing_is_left_of_a_failed_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("refused")

    monkeypatch.setattr("stylemap.export.engines.build_engine", refuse)
    options = dataclasses.replace(RTX, gpus=("8.9",))
    with pytest.raises(RuntimeError, match="refused"):
        export_tensorrt(tiny.model(), tmp_path, ["mapping"], options=options)
    assert list(tmp_path.iterdir()) == []


@rtx
def test_a_wrong_engine_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU an engine is compared with the model: here by a session that gives zeros."""

    class Zeros:
        description = None
        provider = "tensorrt"

        def __init__(self, path: Path) -> None:
            self.description = read_sidecar(path).description

        def run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"w": torch.zeros(len(inputs["z"]), *tiny.CONFIG.stylemap_shape)}

    checked = dataclasses.replace(checked_options(dataclasses.replace(RTX, gpus=("8.9",))), gpu="a GPU")
    monkeypatch.setattr("stylemap.export.engines.checked_options", lambda options: checked)
    monkeypatch.setattr("stylemap.export.sessions.engine.EngineSession", Zeros)
    with pytest.raises(MismatchError, match="graph mapping in tensorrt differs from the model by 1"):
        export_tensorrt(tiny.model(), tmp_path, ["mapping"])
    assert list(tmp_path.iterdir()) == []


@rtx
def test_sidecars_that_do_not_fit(tmp_path: Path) -> None:
    options = dataclasses.replace(RTX, gpus=("8.9",))
    (built,) = export_tensorrt(tiny.model(), tmp_path, ["mapping"], options=options)
    path, beside = built.path, sidecar_path(built.path)
    text = beside.read_text()
    beside.write_text(json.dumps({**json.loads(text), "format": 2}))
    with pytest.raises(ValueError, match="another version of stylemap"):
        read_sidecar(path)
    for damaged in ("", "{}", "[1]", text[: len(text) // 2]):
        beside.write_text(damaged)
        with pytest.raises(
            ValueError, match=r"mapping\.engine\.json does not describe an engine .*build it again"
        ):
            read_sidecar(path)
    beside.write_text(text)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"mapping\.engine\.json is stale"):
        read_sidecar(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no mapping\.engine\.json beside it"):
        read_sidecar(path)
