"""The published size, and the bundled model: exported, verified, built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

import stylemap  # noqa: E402
from stylemap.assets import FOLDER, demo_model  # noqa: E402
from stylemap.config import Config  # noqa: E402
from stylemap.data.faces import FacesDataset  # noqa: E402
from stylemap.export import Runtime, export_onnx, ports  # noqa: E402
from stylemap.export.description import describe  # noqa: E402
from stylemap.export.engine_options import EngineOptions, checked_options  # noqa: E402
from stylemap.export.files import save, set_metadata  # noqa: E402
from stylemap.export.graphs import build  # noqa: E402
from stylemap.export.quantized import LEAST_PSNR, export_quantized  # noqa: E402
from stylemap.export.tensorrt import build_engine  # noqa: E402
from stylemap.model import StyleMapGAN  # noqa: E402
from stylemap.model.recipe import recipe_model  # noqa: E402
from stylemap.train.config import TrainConfig  # noqa: E402
from tests.helpers.goldens import relative_error  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def build_all(folder: Path) -> None:
    """Every ONNX file of a folder as an engine, where TensorRT for RTX is installed."""
    if not needs.has("tensorrt_rtx"):
        return
    checked = checked_options(EngineOptions(package="tensorrt-rtx", gpus=("8.9",)))
    for path in sorted(folder.glob("*.onnx")):
        sidecar = build_engine(path, path.with_suffix(".engine"), checked)
        proto = onnx.load(path, load_external_data=False)
        convolutions = {node.name for node in proto.graph.node if node.op_type in ("Conv", "ConvTranspose")}
        assert convolutions <= {name for names in sidecar.layers.values() for name in names}


def test_256_full(tmp_path: Path) -> None:
    """What the published checkpoints have, with weights of a recipe."""
    model = recipe_model(Config())
    graphs = ("encoder", "stylecodes", "decoder", "editor")
    written = export_onnx(model, tmp_path, graphs, external_weights=True, batches=(1,))
    assert [file.description.graph for file in written] == list(graphs)
    assert max(file.error for file in written) < 1e-5
    build_all(tmp_path)


def test_1024(tmp_path: Path) -> None:
    """The largest published size: all graphs are valid; the encoder, which takes the least time, is run."""
    model = recipe_model(Config(size=1024, latent_spatial_size=16, small_generator=True))
    (encoder,) = export_onnx(model, tmp_path, ["encoder"], batches=(1,))
    assert encoder.error < 1e-5
    for graph in ("stylecodes", "editor"):
        proto = build(model, graph, "fp16")
        set_metadata(proto, describe(model, graph, "fp16", {}).to_metadata())
        save(proto, tmp_path / f"{graph}.onnx")
    build_all(tmp_path)


@pytest.fixture(scope="module")
def demo() -> StyleMapGAN:
    """The bundled model; where none is bundled, one of the same sizes with weights of a recipe."""
    path = demo_model()
    return recipe_model(_demo_config()) if path is None else stylemap.load(path)


def _demo_config() -> Config:
    return TrainConfig.load(FOLDER / "demo.yaml").model


@pytest.fixture(scope="module")
def faces(demo: StyleMapGAN) -> Tensor:
    """Eight generated faces that no training run has seen."""
    return FacesDataset(demo.config.size, 8, seed=0, held_out=True).raw(range(8)).float() / 127.5 - 1


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_demo_model(precision: str, demo: StyleMapGAN, faces: Tensor, tmp_path: Path) -> None:
    written = export_onnx(demo, tmp_path, precision=precision, photos=faces)
    assert [file.description.graph for file in written] == list(ports.GRAPHS)
    with torch.no_grad():
        expected = demo(faces[:2])
    assert relative_error(Runtime(tmp_path)(faces[:2]), expected) < (1e-4 if precision == "fp32" else 5e-3)
    build_all(tmp_path)


@pytest.mark.skipif(demo_model() is None, reason="no trained model is bundled")
def test_demo_model_in_int8(demo: StyleMapGAN, faces: Tensor, tmp_path: Path) -> None:
    for file in export_quantized(demo, tmp_path, faces, ["encoder", "decoder", "editor"]):
        assert file.psnr >= LEAST_PSNR
