"""Exporting files: all of them, verified, or none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap.export import export_onnx, ports  # noqa: E402
from stylemap.export.description import Description, fingerprint  # noqa: E402
from stylemap.export.sessions import open_session  # noqa: E402
from stylemap.export.verify import BATCHES, MismatchError, Samples, verify  # noqa: E402
from stylemap.model.recipe import recipe_model  # noqa: E402
from stylemap.program import Conv, Folded, Part, Weights  # noqa: E402
from tests.helpers import tiny  # noqa: E402


def test_every_graph_is_written(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == sorted(f"{graph}.onnx" for graph in ports.ALL)


def test_metadata(exported: Path) -> None:
    proto = onnx.load(exported / "decoder.onnx")
    metadata = {item.key: item.value for item in proto.metadata_props}
    description = Description.from_metadata(metadata, "decoder.onnx")
    assert description.graph == "decoder"
    assert description.config == tiny.CONFIG
    assert description.precision == "fp32"
    assert description.model == fingerprint(tiny.model())
    assert {"stylemap", "torch", "onnx", "onnxruntime"} <= set(description.versions)
    assert description.verified["relative_error"] < 1e-5
    for batch in BATCHES:
        assert any(case.startswith(f"batch {batch}") for case in description.verified["cases"])


def test_result_lists_files_and_errors(tmp_path: Path) -> None:
    steps: list[str] = []
    results = export_onnx(
        tiny.model(), tmp_path, ["decoder", "encoder"], batches=(1, 2), progress=steps.append
    )
    assert [result.path for result in results] == [tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"]
    assert all(0 < result.error < 1e-5 for result in results)
    assert list(results[0].errors) == ["batch 1, real", "batch 1, random", "batch 2"]
    assert "decoder: verifying" in steps


@pytest.mark.parametrize("graph", ["encoder", "decoder", "editor"])
def test_a_wrong_graph_is_found_and_leaves_nothing(
    graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Weights.conv

    def wrong(weights: Weights, layer: Conv) -> Folded:
        found = right(weights, layer)
        return found if layer.part is Part.MAPS else found._replace(weight=1.001 * found.weight)

    monkeypatch.setattr(Weights, "conv", wrong)
    (tmp_path / "decoder.onnx").write_text("an older file")
    with pytest.raises(MismatchError, match=rf"graph {graph} in onnxruntime differs from the model by 0\.00"):
        export_onnx(tiny.model(), tmp_path, [graph], batches=(1,))
    assert [path.name for path in tmp_path.iterdir()] == ["decoder.onnx"]
    assert (tmp_path / "decoder.onnx").read_text() == "an older file"


def test_not_a_number_is_a_mismatch(tmp_path: Path) -> None:
    model = recipe_model(tiny.CONFIG)
    model.encoder.final_conv[1].bias.data[0] = torch.nan
    with pytest.raises(MismatchError, match="differs from the model by inf"):
        export_onnx(model, tmp_path, ["encoder"], batches=(1,))


def test_external_weights_are_stored_once(exported: Path, tmp_path: Path) -> None:
    graphs = ["stylecodes", "synthesis", "decoder"]
    export_onnx(tiny.model(), tmp_path, graphs, external_weights=True, batches=(1,))
    (weights,) = tmp_path.glob("weights.*.bin")
    inside = sum((exported / f"{graph}.onnx").stat().st_size for graph in graphs)
    outside = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert outside < inside
    session = open_session(tmp_path / "decoder.onnx", "onnxruntime", threads=1)
    verify(session, Samples(tiny.model(), batches=(2,)), 1e-5)
    export_onnx(tiny.model(), tmp_path, ["encoder"], external_weights=True, batches=(1,))
    assert weights.exists()  # what the other graphs refer to
    open_session(tmp_path / "synthesis.onnx", "onnxruntime", threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["decoder", "discriminator"]}, "no graph 'discriminator': there are encoder, "),
        ({"names": []}, "name one of encoder, "),
        ({"precision": "int3"}, "precision must be one of fp32, fp16, bf16, got 'int3'"),
        ({"opset": 11}, "opset must be 18 to 23 for fp32, got 11"),
        ({"precision": "bf16", "opset": 20}, "opset must be 22 to 23 for bf16, got 20"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export_onnx(tiny.model(), tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_other_models(tmp_path: Path) -> None:
    for model in (tiny.model(torch.float64), recipe_model(tiny.CONFIG).train()):
        with pytest.raises(ValueError, match="float32, on the CPU, in evaluation mode"):
            export_onnx(model, tmp_path)


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name, *rest)
    )
    with pytest.raises(ImportError, match=r"needs onnxruntime: .*pip install 'stylemap\[export\]'"):
        export_onnx(tiny.model(), tmp_path)


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"cannot write {tmp_path / 'file'}"):
        export_onnx(tiny.model(), tmp_path / "file")
