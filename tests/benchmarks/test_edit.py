"""The editing benchmark on a tiny model: what it writes, that it is checked, that scripts are recorded."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jsonschema
import pytest
import torch
from torch import Tensor

from stylemap import program
from stylemap.benchmarks import (
    edit,
    models,
    results,
    rivals,
    stages,
    strokes,
    suite,
)
from stylemap.benchmarks.backends import Backend, Engine, Photos, to_bytes
from stylemap.benchmarks.ncnn_network import TracedLowering
from stylemap.benchmarks.truth import Truth, relative_error
from stylemap.cli import main
from stylemap.config import Config
from tests.helpers.needs import package

SCHEMA = json.loads(results.SCHEMA.read_text())


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tiny() -> tuple[Photos, Truth, rivals.Makers]:
    model = models.load("tiny")
    photos = Photos(model.config.size)
    return (
        photos,
        Truth(model, photos.tensors, strokes.SCENARIOS),
        rivals.Makers(model, photos, torch.device("cpu"), 1),
    )


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("bench")
    options = ["--models", "tiny", "--backends", "engine,published,plain", "--seconds", "0.05"]
    arguments = ["bench", "edit", *options, "--quick", "--device", "cpu", "--threads", "1"]
    threads = torch.get_num_threads()
    try:
        assert main([*arguments, "--output", str(folder)]) == 0
    finally:
        torch.set_num_threads(threads)
    assert not (folder / "bench.partial.json").exists()
    return json.loads((folder / "bench.json").read_text())


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_document_is_what_the_schema_says(document: dict) -> None:
    jsonschema.validate(document, SCHEMA)
    assert document["settings"]["script_digest"] == strokes.digest(list(strokes.SCENARIOS))
    assert document["machine"]["threads"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"status": "wrong"},
        {"status": "fine"},
        {"p50": "fast"},
        {"milliseconds": []},
        {"milliseconds": None},
        {"surprise": 1},
    ],
)
def test_schema_refuses(document: dict, change: dict) -> None:
    row = next(row for row in document["edit"] if row["status"] == "ok") | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "edit": [row]}, SCHEMA)


def test_the_engine_plays_everything(document: dict) -> None:
    rows = [row for row in document["edit"] if row["backend"] == "engine"]
    played = {(row["scenario"], row["precision"]) for row in rows}
    assert played == {(scenario, p) for scenario in strokes.SCENARIOS for p in ("fp32", "bf16")}
    assert all(row["error"] <= row["tolerance"] for row in document["edit"])
    stages_of_paint = next(row for row in document["stages"] if row["backend"] == "engine")["stages"]
    # In so small a model most edits convolve the tiles of the one before: the median "modulation" is none.
    assert {"mask", "blend", "main path", "bytes"} <= stages_of_paint.keys()


def test_what_was_measured_survives_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second group ends everything: the first is there to be reported."""
    groups = []

    def play(settings: edit.Settings, result: edit.Result) -> None:
        groups.append(settings)
        if len(groups) == 2:
            raise KeyboardInterrupt
        row = {"model": "demo", "precision": "fp32", "scenario": "decode", "backend": "engine"}
        result.rows.append(row | {"error": 1.0, "tolerance": 0.5, "status": "wrong"})

    monkeypatch.setattr(edit, "run", play)
    with pytest.raises(KeyboardInterrupt):
        suite.run(
            suite.Run("stylemap bench", torch.device("cpu"), torch.get_num_threads(), parts=("edit",)),
            lambda document: results.write(document, tmp_path / "bench.partial.json"),
        )
    found = results.read(tmp_path / "bench.partial.json")
    jsonschema.validate(found, SCHEMA)
    assert [row["backend"] for row in found["edit"]] == ["engine"]


def test_groups_in_processes_of_their_own() -> None:
    settings = edit.Settings(
        models=("demo",), backends=("engine",), scenarios=("encode",), precisions=("fp32",),
        seconds=0.05, least=5, most=5, threads=1,
    )  # fmt: skip
    threads = torch.get_num_threads()
    asked = suite.Run(
        "stylemap bench", torch.device("cpu"), threads, parts=("edit",), settings=settings, isolated=True
    )
    document = suite.run(asked)
    assert [(row["scenario"], row["backend"]) for row in document["edit"]] == [("encode", "engine")]
    lost = suite.apart(killed, settings)
    assert (lost.rows, lost.skipped) == ([], ["demo: the process was ended, probably for lack of memory"])


def killed(settings: edit.Settings) -> edit.Result:
    """As a system that runs out of memory does it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_every_backend_computes_the_network(tiny: tuple[Photos, Truth, rivals.Makers]) -> None:
    _, truth, makers = tiny
    for name in ("engine", "published", "plain"):
        backend = makers(name, "fp32")
        for scenario in ("encode", "decode", "paint_64", "paint_64_many", "slider", "mix"):
            assert edit.check(backend, scenario, truth) <= 1e-5, (name, scenario)


@pytest.mark.parametrize(
    ("name", "needs"), [("onnxruntime", "onnxscript"), ("openvino", "openvino"), ("ncnn", "pnnx")]
)
def test_every_runtime_computes_the_network(
    name: str, needs: str, tiny: tuple[Photos, Truth, rivals.Makers]
) -> None:
    package(needs)
    _, truth, makers = tiny
    backend = makers(name, "fp32")
    for scenario in ("encode", "decode", "paint_64_many"):
        assert edit.check(backend, scenario, truth) <= 1e-4, scenario


def test_the_form_for_ncnn_is_the_network() -> None:
    model, image = models.load("tiny"), models.photos(32)[:1]
    op, w = TracedLowering(program.Weights(model)), model.encode(image)
    assert relative_error(program.encode(op, op.network, image), w) < 2e-6
    assert relative_error(program.decode(op, op.network, w), model.decode(w)) < 2e-6


def test_requests_batches_and_frames_are_the_same_images(tiny: tuple[Photos, Truth, rivals.Makers]) -> None:
    _, _, makers = tiny
    engine, published = makers("engine", "fp32"), makers("published", "fp32")
    step = strokes.script("request")[3]
    assert relative_error(engine.play("request", [step]), published.play("request", [step])) < 1e-5
    steps = strokes.script("batch_8")[:3]
    assert relative_error(engine.play("batch", steps), published.play("batch", steps)) < 1e-5
    assert engine.play("request", [step]).shape == (16, 3, 32, 32)


def test_a_wrong_backend_is_reported_and_not_timed(
    tiny: tuple[Photos, Truth, rivals.Makers], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, truth, makers = tiny
    decode = Engine.decode
    monkeypatch.setattr(Engine, "decode", lambda self, step: decode(self, step) * 1.001)
    backends: list[tuple[str, Backend]] = [("engine", makers("engine", "fp32"))]
    settings = edit.Settings(scenarios=("encode", "decode"), seconds=0.02, most=3)
    found = edit.Result()
    edit._play_all("tiny", backends, truth, settings, edit.Clock(torch.device("cpu")), found)
    assert [row["status"] for row in found.rows][1] == "wrong"
    assert "milliseconds" in found.rows[0]
    assert "milliseconds" not in found.rows[1]
    assert "wrong" in edit.line(found.rows[1])


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    model = models.load("tiny")
    makers = rivals.Makers(model, Photos(32), torch.device("cpu"), 1)
    result = edit.Result()
    settings = edit.Settings(backends=("openvino", "ncnn"))
    assert edit.ready(settings, makers, result) == []
    assert len(result.skipped) == 2
    assert result.skipped[0].startswith("OpenVINO: not installed (pip install")


def test_a_rival_that_fails_is_left_out() -> None:
    class Failing:
        def __call__(self, name: str, precision: str) -> Backend:
            raise OSError("no\ncompiler")

    result = edit.Result()
    assert edit.ready(edit.Settings(backends=("compile",)), Failing(), result) == []  # type: ignore[arg-type]
    assert result.skipped == [f"torch.compile {p}: OSError: no compiler" for p in ("fp32", "bf16")]
    with pytest.raises(OSError, match="compiler"):
        edit.ready(edit.Settings(backends=("engine",)), Failing(), result)  # type: ignore[arg-type]


def test_a_rival_that_fails_later_is_wrong(
    tiny: tuple[Photos, Truth, rivals.Makers], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, truth, makers = tiny
    backend = makers("plain", "fp32")
    monkeypatch.setattr(backend, "decode", lambda step: 1 / 0)
    settings = edit.Settings(scenarios=("decode",), seconds=0.02, most=3)
    found = edit.Result()
    clock = edit.Clock(torch.device("cpu"))
    edit._play_all("tiny", [("plain", backend)], truth, settings, clock, found)
    assert [row["status"] for row in found.rows] == ["wrong"]
    assert found.skipped == ["plain PyTorch fp32, decode: ZeroDivisionError: division by zero"]
    json.dumps(found.rows, allow_nan=False)


def test_stages_add_up_to_the_frame(tiny: tuple[Photos, Truth, rivals.Makers]) -> None:
    watch = stages.Stopwatch(torch.device("cpu"))
    engine = tiny[2]("engine", "fp32")
    before = engine.edit(strokes.script("paint_64")[0])
    engine.edit(strokes.script("paint_64")[-1])  # else there would be nothing to do again
    with stages.watched(engine, watch), watch.stage("rest"):
        image = engine.edit(strokes.script("paint_64")[0])
    assert torch.equal(image, before)
    assert set(watch.spent) == {"rest", "mask", "blend", "modulation", "main path"}
    watch.spent.clear()
    engine.edit(strokes.script("paint_64")[1])
    assert not watch.spent


def test_bytes_are_rounded_and_clamped() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(1, 3, 1, 5)
    assert to_bytes(image)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_demo_model_is_the_one_that_is_trained() -> None:
    yaml = package("yaml")
    from stylemap.assets import FOLDER

    recipe = yaml.safe_load((FOLDER / "demo.yaml").read_text())["model"]
    assert Config(**recipe) == models.CONFIGS["demo"]


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "edit", "--backends", "engine,nothing", "--output", str(tmp_path)]) == 1
    assert "--backends: 'nothing' is none of engine" in capsys.readouterr().err


def test_opened_photos_are_the_photos() -> None:
    photos: Tensor = models.photos(64)
    opened = models.opened(models.jpeg(photos[0]), 64)
    assert opened.shape == (1, 3, 64, 64)
    assert (opened[0] - photos[0]).abs().mean() < 0.1
