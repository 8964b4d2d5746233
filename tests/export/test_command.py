"""stylemap export, and the other commands with what it wrote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap import checkpoint, edit, images  # noqa: E402
from stylemap.cli import main  # noqa: E402
from stylemap.export import ports  # noqa: E402
from tests.helpers import tiny  # noqa: E402

rtx = needs.installed("tensorrt_rtx")


@pytest.fixture(scope="module")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    checkpoint.save_published(tiny.model(), path)
    return str(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, photo in enumerate(tiny.photos(2)):
        images.save(photo, folder / f"p{index}.png")
    return folder


def test_onnx(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path), "--images", str(photos), "--external-weights", "--opset", "21"]
    assert main(["export", "onnx", model_file, *arguments]) == 0
    out, err = capsys.readouterr()
    assert len(list(tmp_path.glob("*.onnx"))) == len(ports.GRAPHS)
    assert onnx.load(tmp_path / "decoder.onnx").opset_import[0].version == 21
    assert "decoder.onnx: 0.0 MB, fp32, relative error at most " in out
    assert f"wrote {len(ports.GRAPHS)} files in {tmp_path}" in out
    assert "editor: verifying" in err


def test_the_published_layout(
    published_file: str, model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file from the same weights, whichever layout they come in."""
    for name, file in (("published", published_file), ("ours", model_file)):
        arguments = ["--output", str(tmp_path / name), "--images", str(photos), "--graphs", "decoder"]
        assert main(["export", "onnx", file, *arguments]) == 0
    published, ours = ((tmp_path / name / "decoder.onnx").read_bytes() for name in ("published", "ours"))
    assert published == ours


@rtx
def test_tensorrt(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path), "--images", str(photos), "--graphs", "encoder,decoder"]
    arguments += ["--package", "tensorrt-rtx", "--gpu", "8.6,8.9", "--max-batch", "2"]
    assert main(["export", "tensorrt", model_file, *arguments]) == 0
    out, _ = capsys.readouterr()
    assert "decoder.engine: " in out
    assert "compute capability 8.6, 8.9" in out
    assert f"wrote 2 engines in {tmp_path}" in out
    names = {f"{graph}{suffix}" for graph in ("encoder", "decoder") for suffix in (".onnx", ".engine")}
    assert {path.name for path in tmp_path.iterdir()} == names | {
        "encoder.engine.json",
        "decoder.engine.json",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["onnx", "MODEL", "--opset", "5"], "opset must be 18 to 23 for fp32, got 5"),
        (["onnx", "MODEL", "--graphs", "decoder,critic"], "no graph 'critic': there are encoder, mapping"),
        (["onnx", "missing.pt"], "missing.pt"),
        (["onnx", "MODEL", "--images", "nowhere"], "nowhere"),
        pytest.param(
            ["tensorrt", "MODEL", "--package", "tensorrt-rtx", "--gpu", "9.0"],
            "does not build for compute capability 9.0",
            marks=rtx,
        ),
        pytest.param(
            ["tensorrt", "MODEL", "--package", "tensorrt-rtx", "--timing-cache", "t"],
            "has no timing cache",
            marks=rtx,
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [model_file if argument == "MODEL" else argument for argument in arguments]
    assert main(["export", *arguments, "--output", str(tmp_path / "new")]) == 1
    _, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert last.startswith("stylemap export: error: ")
    assert message in last
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists()


EDITS = {
    "reconstruct": ["PHOTO"],
    "sample": ["--count", "1"],
    "interpolate": ["PHOTO", "OTHER"],
    "edit": ["--original", "PHOTO", "--reference", "OTHER", "--mask", "box:0,0,0.5,1", "--shift", "3,2"],
    "mix": ["PHOTO", "OTHER"],
    "transplant": ["--original", "PHOTO", "--reference", "OTHER", "--box", "0,0,2,2,3,4"],
    "manipulate": ["PHOTO", "--direction", "DIRECTION", "--strength", "2"],
}


@pytest.mark.parametrize("command", EDITS)
@pytest.mark.parametrize("file", ["", "decoder.onnx"], ids=["folder", "file"])
def test_edit_commands(
    command: str, file: str, exported: Path, model_file: str, photos: Path, tmp_path: Path
) -> None:
    """Each command writes the same image with the ONNX files as with the checkpoint."""
    vector = torch.randn(*tiny.CONFIG.stylemap_shape, generator=torch.Generator().manual_seed(0))
    edit.save_direction(edit.Direction(vector, 1.0), tmp_path / "d.npz")
    names = {
        "PHOTO": str(photos / "p0.png"),
        "OTHER": str(photos / "p1.png"),
        "DIRECTION": str(tmp_path / "d.npz"),
    }
    arguments = [names.get(argument, argument) for argument in EDITS[command]]
    for kind, model in (("ours", model_file), ("onnx", str(exported / file))):
        output = ["--output", str(tmp_path / kind), "--no-sheet", "--model", model]
        assert main([command, *arguments, *output]) == 0
    ours = sorted((tmp_path / "ours").glob("*.png"))
    assert ours
    for path in ours:
        a, b = (np.asarray(Image.open(tmp_path / kind / path.name), np.int16) for kind in ("ours", "onnx"))
        assert np.abs(a - b).max() <= 1


def test_info(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(exported)]) == 0
    out = capsys.readouterr().out
    names = "encoder, mapping, stylecodes, synthesis, decoder, editor, reconstruct, maps, cached_editor"
    assert re.search(rf"graphs +{names}\n", out)
    assert re.search(r"runs in +onnxruntime on (cpu|cuda)", out)
    assert re.search(r"verified +encoder: relative error at most \d\.\de-0[67]", out)


def test_what_exported_models_cannot_do(
    exported: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [str(photos / "p0.png"), "--output", str(tmp_path / "x.png"), "--model", str(exported)]
    for command, extra, message in (
        ("invert", ["--steps", "1"], "an exported model has no gradients"),
        ("reconstruct", ["--precision", "bf16"], "--precision is of checkpoints"),
        ("reconstruct", ["--device", "meta"], "runs on cpu here, not on meta"),
    ):
        assert main([command, *common, *extra]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
