"""Metrics over the checkpoints of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylemap.cli import main
from stylemap.metrics import history
from stylemap.train import train
from tests.helpers import needs
from tests.train import tiny_run

RUN = {
    "1.pt": {"mse": 3.0, "smile success": 0.5, "Laplacian energy over the images' edits": 1.3},
    "2.pt": {"mse": 2.0, "smile success": 0.9, "Laplacian energy over the images' edits": 0.8},
    "3.pt": {"mse": 1.0, "smile success": 0.8, "Laplacian energy over the images' edits": 0.5},
}


def test_each_kind_of_metric_has_its_own_sense_of_better() -> None:
    assert history.badness("mse", 2.0) > history.badness("mse", 1.0)
    assert history.badness("smile success", 0.5) > history.badness("smile success", 0.9)
    energy = "Laplacian energy over the images' edits"
    assert history.badness(energy, 1.3) > history.badness(energy, 0.8)


def test_the_best_has_the_lowest_mean_rank() -> None:
    assert history.best(RUN) == "2.pt"
    text = history.table(RUN)
    assert [line.split("*")[0].split()[-1] for line in text.splitlines()[1:]] == ["1", "0.9", "0.8"]


def test_of_equal_checkpoints_the_newest_is_best() -> None:
    assert history.best({"1.pt": {"mse": 1.0}, "2.pt": {"mse": 1.0}}) == "2.pt"


def test_metrics_that_a_checkpoint_lacks_do_not_count() -> None:
    assert history.common_metrics({"1.pt": {"mse": 1.0, "fid": 2.0}, "2.pt": {"mse": 1.0}}) == ["mse"]
    with pytest.raises(ValueError, match="no metric"):
        history.best({"1.pt": {"fid": 1.0}, "2.pt": {"mse": 1.0}})


def test_a_run_is_measured_plotted_and_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.package("matplotlib")
    folder = tmp_path / "run"
    train(tiny_run.config(iterations=2, checkpoint_every=1), folder)
    arguments = ["evaluate", "--run", str(folder), "--count", "12", "--fit", "20", "--device", "cpu"]
    capsys.readouterr()
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert "best: 0000000" in first.out
    saved = json.loads((folder / "evaluation.json").read_text())
    assert sorted(saved["checkpoints"]) == ["00000001.pt", "00000002.pt"]
    assert (folder / "evaluation.png").read_bytes().startswith(b"\x89PNG")

    assert main(arguments) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "00000001.pt:" in first.err
    assert "00000001.pt:" not in second.err  # nothing is measured twice

    assert main([*arguments[:-2], "--seed", "5"]) == 1
    assert "other options" in capsys.readouterr().err


def test_a_folder_without_checkpoints_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--run", str(tmp_path)]) == 1
    assert f"{tmp_path} holds no checkpoints" in capsys.readouterr().err


def test_the_results_do_not_replace_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    assert main(["evaluate", "--model", str(model), "--output", str(model)]) == 1
    assert model.read_bytes() == b"weights"
    assert str(model) in capsys.readouterr().err
