"""An exported model edits as the model does."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")

from stylemap import edit  # noqa: E402
from stylemap.export import Runtime, export_onnx  # noqa: E402
from stylemap.export.runtime import is_exported  # noqa: E402
from stylemap.export.sessions import open_session  # noqa: E402
from stylemap.model.recipe import recipe_model  # noqa: E402
from tests.helpers import tiny  # noqa: E402
from tests.helpers.goldens import relative_error  # noqa: E402
from tests.helpers.tolerances import tolerance  # noqa: E402

PROVIDERS = ["onnxruntime"] + (["openvino"] if needs.has("openvino") else [])


@pytest.fixture(scope="module", params=PROVIDERS)
def runtime(request: pytest.FixtureRequest, exported: Path) -> Runtime:
    return Runtime(exported, request.param, threads=1)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert actual.dtype == torch.float32
    assert relative_error(actual, expected) < tolerance("network", "fp32")


def left_half() -> Tensor:
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[:, : tiny.SIZE // 2] = 1
    return mask


def test_methods(runtime: Runtime) -> None:
    model, photos = tiny.model(), tiny.photos(2)
    w = model.encode(photos)
    assert runtime.config == tiny.CONFIG
    assert_same(runtime.encode(photos), w)
    codes = model.stylecodes(w)
    for actual, expected in zip(runtime.stylecodes(w), codes, strict=True):
        assert_same(actual, expected)
    assert_same(runtime.synthesize(codes), model.synthesize(codes))
    assert_same(runtime.decode(w), model.decode(w))
    assert_same(runtime(photos), model(photos))
    assert_same(runtime.map(torch.ones(3, 8)), model.map(torch.ones(3, 8)))


def test_edits(runtime: Runtime) -> None:
    model = tiny.model()
    a, b, c = tiny.stylemaps(3).split(1)
    mask, other = left_half(), left_half().T

    def everything(m: object) -> list[Tensor]:
        return [
            edit.reconstruct(m, tiny.photos(1)),
            edit.interpolate(m, a, b, [0.0, 0.3, 1.0]),
            edit.local(m, a, b, mask, space="w"),
            edit.local(m, a, b, mask),
            edit.blend(m, a, [b, c], [mask, other], [(3, 0), (-5, 40)], [0.4, 1.0]),
            edit.mix_styles(m, a, b, "fine"),
            edit.sample(m, 2, seed=3),
            edit.sample(m, 2, seed=3, truncation=0.5, mean_stylemap=model.mean_stylemap(64)),
            next(iter(edit.sequence(m, tiny.photos(1), lambda w, _: w + b))),
        ]

    for actual, expected in zip(everything(runtime), everything(model), strict=True):
        assert_same(actual, expected)
    assert_same(runtime.mean_stylemap(64), model.mean_stylemap(64))


@pytest.mark.parametrize("frames", [1, 6])
def test_edit_is_the_blend(runtime: Runtime, frames: int) -> None:
    model = tiny.model()
    a, b, c = tiny.stylemaps(3).split(1)
    arguments = ([b, c], [left_half(), left_half().T], [(3, 0), (-5, 7)], edit.frame_weights(frames))
    assert_same(runtime.edit(a, *arguments), edit.blend(model, a, *arguments))


@pytest.mark.parametrize("frames", [1, 6])
def test_edit_of_prepared_images_is_the_blend(runtime: Runtime, frames: int) -> None:
    model = tiny.model()
    a, b, c = tiny.stylemaps(3).split(1)
    arguments = ([left_half(), left_half().T], [(3, 0), (-5, 7)], edit.frame_weights(frames))
    original, *references = (runtime.prepare(w) for w in (a, b, c))
    found = runtime.edit_prepared(original, references, *arguments)
    assert_same(found, edit.blend(model, a, [b, c], *arguments))
    w = tiny.stylemaps(4)
    pairs = runtime.edit_prepared(runtime.prepare(w[:2]), [runtime.prepare(w[2:])], [left_half()])
    assert_same(pairs, edit.blend(model, w[:2], [w[2:]], [left_half()]))


def test_edit_of_prepared_images_checks_its_arguments(runtime: Runtime, tmp_path: Path) -> None:
    original = runtime.prepare(tiny.stylemaps(1))
    with pytest.raises(ValueError, match="takes 1 to any number of references, got 0"):
        runtime.edit_prepared(original, [], [])
    with pytest.raises(ValueError, match="each reference needs a mask and a shift"):
        runtime.edit_prepared(original, [original], [])
    shutil.copy(runtime.folder / "stylecodes.onnx", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"maps\.onnx is missing: export the maps graph"):
        Runtime(tmp_path, runtime.provider).prepare(tiny.stylemaps(1))


def test_edit_of_a_batch(runtime: Runtime) -> None:
    """Originals and references of a batch go in pairs; so do masks."""
    w = tiny.stylemaps(4)
    masks = torch.stack([left_half(), left_half().T])[:, None]
    found = runtime.edit(w[:2], [w[2:]], [masks])
    assert_same(found, edit.blend(tiny.model(), w[:2], [w[2:]], [masks]))
    assert_same(runtime.edit(w[:2], [], []), tiny.model().decode(w[:2]))


def test_edit_checks_its_arguments(runtime: Runtime) -> None:
    w = tiny.stylemaps(2)
    with pytest.raises(ValueError, match="masks: expected 1, one for each of reference_ws"):
        runtime.edit(w[:1], [w[1:]], [])
    with pytest.raises(ValueError, match="mask must be 32 x 32"):
        runtime.edit(w[:1], [w[1:]], [torch.zeros(8, 8)])


def test_wrong_inputs_raise_as_the_model_does(runtime: Runtime) -> None:
    model = tiny.model()
    for method, value in (
        ("encode", torch.zeros(1, 3, 16, 16)),
        ("decode", torch.zeros(1, 8, 8, 8, dtype=torch.float64)),
        ("synthesize", [torch.zeros(1, 8, 8, 8)]),
        ("map", torch.zeros(1, 9)),
    ):
        with pytest.raises((ValueError, TypeError)) as expected:
            getattr(model, method)(value)
        with pytest.raises(expected.type) as found:
            getattr(runtime, method)(value)
        assert str(found.value) == str(expected.value)


def test_a_batch_of_none(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="encoder: expected a batch of at least 1, got 0"):
        runtime.encode(torch.zeros(0, 3, tiny.SIZE, tiny.SIZE))
    with pytest.raises(ValueError, match="expected a batch of at least 1, got 0"):
        runtime.decode(torch.zeros(0, *tiny.CONFIG.stylemap_shape))


def test_no_gradients(runtime: Runtime) -> None:
    with pytest.raises(RuntimeError, match="an exported model has no gradients"):
        edit.invert(runtime, tiny.photos(1), steps=1)


def test_without_some_graphs(exported: Path, tmp_path: Path) -> None:
    for graph in ("encoder", "stylecodes", "synthesis"):
        shutil.copy(exported / f"{graph}.onnx", tmp_path)
    runtime = Runtime(tmp_path)
    photos, w = tiny.photos(2), tiny.stylemaps(2)
    assert_same(runtime(photos), tiny.model()(photos))
    assert_same(
        runtime.edit(w[:1], [w[1:]], [left_half()]),
        edit.blend(tiny.model(), w[:1], [w[1:]], [left_half()]),
    )
    with pytest.raises(FileNotFoundError, match=r"mapping\.onnx is missing: export the mapping graph"):
        runtime.map(torch.ones(1, 8))


def test_one_file_opens_its_folder(exported: Path) -> None:
    assert_same(Runtime(exported / "decoder.onnx").encode(tiny.photos(1)), tiny.stylemaps(1))


def test_half_precision_takes_and_gives_float32(tmp_path: Path) -> None:
    export_onnx(tiny.model(), tmp_path, ["encoder"], precision="fp16", batches=(1,))
    w = Runtime(tmp_path).encode(tiny.photos(1))
    assert w.dtype == torch.float32
    assert 1e-5 < relative_error(w, tiny.stylemaps(1)) < 5e-3


def test_files_of_two_models(exported: Path, tmp_path: Path) -> None:
    other = recipe_model(tiny.CONFIG)
    other.encoder.final_conv[1].bias.data += 1
    export_onnx(other, tmp_path, ["encoder"], batches=(1,))
    shutil.copy(exported / "decoder.onnx", tmp_path)
    runtime = Runtime(tmp_path)
    with pytest.raises(ValueError, match="export both together"):
        runtime.decode(tiny.stylemaps(1))


def test_files_of_other_origin(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Abs", ["x"], ["y"])
    proto = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [value], [out]),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="was not written by stylemap export"):
        Runtime(tmp_path / "x.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_damaged_files(content: bytes, provider: str, tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    path.write_bytes(content)
    with pytest.raises((ValueError, RuntimeError)) as error:
        Runtime(path, provider)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_paths_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no graph"):
        Runtime(tmp_path)
    with pytest.raises(FileNotFoundError):
        Runtime(tmp_path / "decoder.onnx")
    assert not is_exported(tmp_path)
    assert not is_exported(tmp_path / "model.safetensors")
    assert is_exported(tmp_path / "x.onnx")
    assert is_exported(tmp_path / "x.engine")


def test_providers(exported: Path) -> None:
    with pytest.raises(ValueError, match="provider must be one of onnxruntime, "):
        open_session(exported / "decoder.onnx", "directml")
    with pytest.raises(ValueError, match="is an ONNX file: provider 'tensorrt' cannot run it"):
        open_session(exported / "decoder.onnx", "tensorrt")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDAExecutionProvider"):
            open_session(exported / "decoder.onnx", "onnxruntime-cuda")


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_missing_package(package: str, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest)
    )
    with pytest.raises(ImportError, match=f"needs {package}: .*pip install 'stylemap"):
        Runtime(exported, package)
