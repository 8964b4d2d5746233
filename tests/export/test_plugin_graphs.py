"""Graphs with plugins against the model, engines built from them, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")
triton = needs.package("triton")
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

from stylemap import checkpoint  # noqa: E402
from stylemap.cli import main  # noqa: E402
from stylemap.config import NORMALIZE_MODES, Config  # noqa: E402
from stylemap.export import engines, graphs, package, ports  # noqa: E402
from stylemap.export.engine_options import EngineOptions, checked_options  # noqa: E402
from stylemap.export.engines import describe_built, export_tensorrt  # noqa: E402
from stylemap.export.plugins import NAMES, define  # noqa: E402
from stylemap.export.plugins.lowering import PluginLowering  # noqa: E402
from stylemap.export.sidecar import Sidecar, digest, read_sidecar  # noqa: E402
from stylemap.export.verify import Samples, relative_error  # noqa: E402
from stylemap.model.recipe import recipe_model  # noqa: E402
from tests.export import fake_plugin  # noqa: E402
from tests.export.fake_plugin import Registry  # noqa: E402
from tests.helpers import tiny  # noqa: E402
from tests.helpers.tolerances import tolerance  # noqa: E402

CONFIG = Config(
    size=32, latent_channel_size=8, channel_table={4: 16, 8: 16, 16: 16, 32: 8}, mapping_layer_num=2
)
needs_rtx = needs.installed("tensorrt_rtx")


class modulation(OpRun):  # the evaluator goes by the name
    op_domain = "stylemap"

    def _run(self, x, style, gw, gb, bw, bb, mean, rstd, **attributes: Any) -> tuple[np.ndarray]:  # type: ignore[no-untyped-def]
        assert attributes == {"plugin_namespace": "stylemap", "plugin_version": "1", "aot": 1}
        x, style, gb, bb, mean, rstd = (torch.tensor(v) for v in (x, style, gb, bb, mean, rstd))
        gw, bw = (torch.tensor(w).unflatten(1, (3, 3)).permute(0, 3, 1, 2) for w in (gw, bw))
        gamma, beta = (F.conv2d(style, w, b, padding=1) for w, b in ((gw, gb), (bw, bb)))
        shape = (1, x.shape[1], 1, 1)
        if mean.ndim == 2:
            groups = mean.shape[1]
            shape = (len(x), x.shape[1], 1, 1)
            mean, rstd = (v.repeat_interleave(x.shape[1] // groups, 1) for v in (mean, rstd))
        return (((x - mean.view(shape)) * rstd.view(shape) * gamma + beta).numpy(),)


class blend(OpRun):
    op_domain = "stylemap"

    def _run(self, code, laid, coverage, cells, weights, **attributes: Any) -> tuple[np.ndarray]:  # type: ignore[no-untyped-def]
        assert cells.dtype == np.int32
        y = code.copy()
        side = code.shape[-1]
        for n, k, row, line in np.ndindex(*laid.shape[:2], side, side):
            from_line, from_row = line - cells[n, k, 0], row - cells[n, k, 1]
            if 0 <= from_line < side and 0 <= from_row < side and coverage[n, k, from_row, from_line] > 0.5:
                y[n, :, row, line] += weights[n] * (laid[n, k, :, from_row, from_line] - y[n, :, row, line])
        return (y,)


class GatherElements(OpRun):  # onnx's own takes 64 elements at most
    op_domain = ""

    def _run(self, data, indices, axis: int = 0) -> tuple[np.ndarray]:  # type: ignore[no-untyped-def]
        return (np.take_along_axis(data, indices, axis),)


class ring(OpRun):
    op_domain = "stylemap"

    def _run(
        self, code, maps, laid, coverage, cells, weights, border, weight, bias, **attributes: Any
    ) -> tuple[np.ndarray]:  # type: ignore[no-untyped-def]
        taps = torch.tensor(weight).unflatten(1, (3, 3)).permute(0, 3, 1, 2)
        made = F.conv2d(torch.tensor(code), taps, torch.tensor(bias), padding=1).numpy()
        pasted = maps.copy()
        side = maps.shape[-1]
        assert border.shape == (len(maps), 1, side, side)
        for n, k, row, line in np.ndindex(*laid.shape[:2], side, side):
            from_line, from_row = line - cells[n, k, 0], row - cells[n, k, 1]
            if 0 <= from_line < side and 0 <= from_row < side and coverage[n, k, from_row, from_line] > 0.5:
                pasted[n, :, row, line] += weights[n] * (
                    laid[n, k, :, from_row, from_line] - pasted[n, :, row, line]
                )
        return (np.where(border > 0, made, pasted),)


@pytest.mark.parametrize(
    ("mode", "graph"),
    [
        *((mode, "decoder") for mode in NORMALIZE_MODES),
        ("LayerNorm", "editor"),
        ("LayerNorm", "cached_editor"),
    ],
)
def test_graphs_with_plugins_compute_the_same(mode: str, graph: str) -> None:
    model = recipe_model(dataclasses.replace(CONFIG, normalize_mode=mode))
    names = ("modulation", "blend", "ring")
    proto = graphs.build(model, graph, "fp32", 20, functools.partial(PluginLowering, names=names))
    made = [node.op_type for node in proto.graph.node if node.domain == "stylemap"]
    codes = len(model.config.stylecode_shapes)
    # All but the finest (stylecodes of 8 channels) and, of modulation, the learned constant's.
    assert made.count("modulation") == (0 if graph == "cached_editor" else 3)
    assert made.count("ring") == (4 if graph == "cached_editor" else 0)
    # Where there is no ring, the maps are blended too.
    assert made.count("blend") == {"editor": codes, "cached_editor": codes + codes - 4}.get(graph, 0)
    evaluator = ReferenceEvaluator(proto, new_ops=[GatherElements, modulation, blend, ring])
    for case in Samples(model, tiny.photos(2), batches=(2,)).cases(graph):
        outputs = evaluator.run(None, {name: value.numpy() for name, value in case.inputs.items()})
        for port, found in zip(ports.outputs(graph, model.config), outputs):
            assert relative_error(torch.from_numpy(found), case.expected[port.name]) < tolerance(
                "network", "fp32"
            )


def test_only_plugins_that_were_asked_for() -> None:
    for names in ((), ("blend",), ("modulation",), ("ring",)):
        proto = graphs.build(
            recipe_model(CONFIG),
            "cached_editor" if "ring" in names else "editor",
            "fp16",
            20,
            functools.partial(PluginLowering, names=names),
        )
        assert {node.op_type for node in proto.graph.node if node.domain} == set(names)
        assert {item.domain for item in proto.opset_import} == {"", *(["stylemap"] if names else [])}


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A tensorrt package with plugins, and a GPU."""
    real = importlib.import_module
    modules = {"tensorrt": fake_plugin.trt, "tensorrt.plugin": Registry()}
    monkeypatch.setattr(package.importlib, "import_module", lambda name: modules.get(name) or real(name))
    monkeypatch.setattr("stylemap.export.engine_options.gpu", lambda: ("NVIDIA H200", "9.0"))
    return SimpleNamespace(**{name.replace(".", "_"): module for name, module in modules.items()})


OPTIONS = EngineOptions(package="tensorrt", plugins=("modulation", "blend"))


def test_engines_with_plugins(full: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine is built from a graph with plugins; the ONNX file beside it has standard operators."""
    seen: dict[str, set[str]] = {}

    def build(path: Path, target: Path, checked: Any, progress: Any) -> Sidecar:
        proto = onnx.load(path)
        target.write_bytes(b"an engine")
        seen[path.stem] = {node.op_type for node in proto.graph.node if node.domain}
        metadata = {item.key: item.value for item in proto.metadata_props}
        description = engines.Description.from_metadata(metadata, path.name)
        assert description.verified["by"] == "onnxruntime"
        return Sidecar(
            description, digest(target), digest(path), "tensorrt", "10.13.0", checked.gpus, checked.gpu,
            (1, 1, 8), 8, False, False, {}, {},
        )  # fmt: skip

    monkeypatch.setattr(engines, "build_engine", build)
    monkeypatch.setattr(engines, "_verify", lambda *arguments: {"by": "tensorrt", "relative_error": 1e-3})
    built = export_tensorrt(recipe_model(CONFIG), tmp_path, ["encoder", "editor"], options=OPTIONS)
    assert seen == {"encoder": set(), "editor": {"modulation", "blend"}}
    assert [engine.sidecar.plugins for engine in built] == [(), ("modulation", "blend")]
    assert "fp16 with plugins modulation, blend, compute capability 9.0" in describe_built(built[1])
    for name in ("encoder", "editor"):
        beside = tmp_path / f"{name}.onnx"
        assert not any(node.domain for node in onnx.load(beside).graph.node)
        assert read_sidecar(tmp_path / f"{name}.engine").onnx == digest(beside)
    assert len(list(tmp_path.iterdir())) == 6


def test_ring_brings_its_graphs(
    full: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def stop(*arguments: Any) -> None:
        raise RuntimeError("far enough")

    monkeypatch.setattr(engines, "export_onnx", lambda model, folder, names, **options: seen.extend(names))
    monkeypatch.setattr(engines, "_build_with_plugins", stop)
    for plugins, expected in ((("blend",), ports.GRAPHS), (("ring",), ports.ALL)):
        seen.clear()
        with pytest.raises(RuntimeError, match="far enough"):
            export_tensorrt(
                recipe_model(CONFIG), tmp_path, options=dataclasses.replace(OPTIONS, plugins=plugins)
            )
        assert seen == list(expected)


def test_definitions_are_made_once(full: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = SimpleNamespace(PREFER_AOT_PYTHON_PLUGINS=3)
    monkeypatch.setattr(fake_plugin.trt, "NetworkDefinitionCreationFlag", flags, raising=False)
    monkeypatch.setattr(define, "_defined", set())
    for _ in range(2):
        assert define.define(package.load("tensorrt")) == 1 << 3
    assert set(full.tensorrt_plugin.plugins) == {f"stylemap::{name}" for name in NAMES}


@pytest.mark.parametrize(
    ("change", "precision", "message"),
    [
        ({"plugins": ("blend", "magic")}, "fp16", "no plugin 'magic': there are modulation, blend, ring"),
        ({"weight_stripped": True}, "fp16", "keeps its weights"),
        ({}, "fp32", "plugins compute in fp16 or bf16, not in fp32"),
        ({}, "fp8", "plugins compute in fp16 or bf16, not in fp8"),
    ],
)
def test_refusals(
    change: dict[str, Any], precision: str, message: str, full: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_tensorrt(
            recipe_model(CONFIG),
            tmp_path,
            precision=precision,
            options=dataclasses.replace(OPTIONS, **change),
            photos=tiny.photos(4),
        )
    assert not list(tmp_path.iterdir())


def test_an_older_tensorrt(full: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fake_plugin.trt, "QuickPluginCreationRequest")
    with pytest.raises(RuntimeError, match=r"tensorrt 10\.13\.0 takes no ahead-of-time plugins"):
        checked_options(OPTIONS)


def test_missing_triton(full: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "triton" else find(name, *rest)
    )
    with pytest.raises(ImportError, match=r"plugins needs triton: .*pip install 'stylemap\[triton\]'"):
        checked_options(OPTIONS)


@needs_rtx
def test_tensorrt_rtx_takes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.safetensors"
    checkpoint.save_safetensors(tiny.model(), path)
    arguments = ["--package", "tensorrt-rtx", "--plugins", "modulation", "--output", str(tmp_path / "new")]
    assert main(["export", "tensorrt", str(path), *arguments]) == 1
    _, err = capsys.readouterr()
    assert "tensorrt-rtx " in err
    assert "takes no ahead-of-time plugins: the tensorrt package does" in err
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists()
