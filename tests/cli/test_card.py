"""Model cards: what they say, what the Hub reads of them, and that nothing is overwritten or half written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import stylemap
from stylemap import checkpoint
from stylemap.cli import main
from stylemap.files import write_whole
from tests.helpers import needs, tiny

FILES = {"README.md", "config.json", "edits.png", "model.safetensors", "samples.png"}
REPORT = {"data": "my photos", "values": {"reconstruction mse": 0.25, "fid": 12.0}}


def _written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def _card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def _failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["convert", *map(str, arguments)]) == 1
    return capsys.readouterr().err


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(REPORT))
    return path


def test_a_card_says_what_it_was_told(model_file: str, photos: Path, report: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my faces"
    told = ["--data", "4 photos", "--license", "cc-by-4.0", "--metrics", str(report), "--images", str(photos)]
    target = str(folder / "model.safetensors")
    assert main(["convert", "--model", model_file, "--output", target, "--card", *told]) == 0
    assert set(_written(folder)) == FILES | {"decoded.png"}
    text = _card(folder)
    assert "# my faces\n" in text
    assert "## Data\n\n4 photos\n" in text
    assert "## Licence\n\ncc-by-4.0\n" in text
    assert "| reconstruction mse | 0.25 |\n| fid | 12 |\n" in text
    for name in re.findall(r"!\[\]\((.+)\)", text):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 128
    assert json.loads((folder / "config.json").read_text()) == tiny.CONFIG.to_dict()
    assert stylemap.load(folder).config == tiny.CONFIG


def test_the_hub_reads_the_front_matter(model_file: str, report: Path, tmp_path: Path) -> None:
    hub = needs.package("huggingface_hub")
    target = tmp_path / "out" / "model.safetensors"
    told = ["--card", "--license", "cc-by-4.0", "--metrics", str(report)]
    assert main(["convert", model_file, str(target), *told]) == 0
    data = hub.ModelCard.load(target.with_name("README.md")).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "stylemap", "image-to-image")
    assert "stylemapgan" in data.tags
    found = {(one.dataset_name, one.metric_name, one.metric_value) for one in data.eval_results}
    assert found == {("my photos", "reconstruction mse", 0.25), ("my photos", "fid", 12.0)}


def test_what_nobody_said_is_said_not_to_be_known(model_file: str, tmp_path: Path) -> None:
    assert main(["convert", model_file, str(tmp_path / "out" / "tiny.pt"), "--card"]) == 0
    assert set(_written(tmp_path / "out")) == {"README.md", "edits.png", "samples.png", "tiny.pt"}
    text = _card(tmp_path / "out")
    assert 'license: "unknown"\n' in text
    assert "model-index" not in text
    assert text.count("Not stated.") == 2
    assert "Not measured." in text


def test_the_bundled_model_is_known(tmp_path: Path) -> None:
    target = tmp_path / "faces" / "model.safetensors"
    assert main(["convert", "--model", "demo", "--output", str(target), "--card"]) == 0
    text = _card(target.parent)
    assert 'license: "apache-2.0"\n' in text
    assert "## Data\n\nbuiltin:faces\n" in text
    assert "| direction smile accuracy |" in text


def test_a_checkpoint_of_a_run_brings_its_data_and_metrics(tmp_path: Path) -> None:
    source = tmp_path / "run" / "checkpoints" / "00000100.pt"
    source.parent.mkdir(parents=True)
    checkpoint.save_published(tiny.model(), source, train_args={"data": "street"})
    measured = {**REPORT, "checkpoints": {source.name: {"values": {"fid": 3.5}}}}
    (tmp_path / "run" / "evaluation.json").write_text(json.dumps(measured))
    assert main(["convert", str(source), str(tmp_path / "out" / "model.safetensors"), "--card"]) == 0
    text = _card(tmp_path / "out")
    assert "## Data\n\nstreet\n" in text
    assert "| fid | 3.5 |\n" in text
    assert "reconstruction mse" not in text


def test_a_card_that_is_there_stays(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    arguments = [model_file, str(tmp_path / "model.safetensors"), "--card"]
    assert f"{tmp_path / 'README.md'} is there already" in _failure(capsys, *arguments)
    assert _written(tmp_path) == {"README.md": b"mine"}
    assert main(["convert", *arguments, "--overwrite"]) == 0
    assert "# " in _card(tmp_path)


@pytest.mark.parametrize("failing", ["samples.png", "model.safetensors"])
def test_all_files_or_none(
    model_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    def write(path: Path) -> Any:
        if Path(path).name == failing:
            raise OSError(28, "No space left on device")
        return write_whole(path)

    monkeypatch.setattr("stylemap.cli.card.write_whole", write)
    monkeypatch.setattr("stylemap.checkpoint.writing.write_whole", write)
    message = _failure(capsys, model_file, tmp_path / "out" / "model.safetensors", "--card")
    assert "No space left on device" in message
    assert _written(tmp_path / "out") == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"values": 3, "data": ""}', '{"checkpoints": {}}'])
def test_what_is_no_report(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    arguments = [model_file, tmp_path / "out" / "a.pt", "--card", "--metrics", tmp_path / "a.json"]
    message = _failure(capsys, *arguments)
    assert "is no report of stylemap evaluate" in message or "measured other checkpoints" in message
    assert "a fault of stylemap" not in message
    assert _written(tmp_path / "out") == {}


def test_flags_of_cards_want_a_card(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = _failure(capsys, model_file, tmp_path / "a.pt", "--license", "mit")
    assert "--license is of model cards: add --card" in message
