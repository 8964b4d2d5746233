"""Continuing a run: what changed is said in words, damaged files are passed over, failures leave nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylemap.train import checkpoints, train
from tests.train import tiny_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    train(tiny_run.config(iterations=4), tmp_path / "run")
    return tmp_path / "run"


def test_what_changed_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    lambdas = tiny_run.lambdas(x_rec=2.0)
    train(tiny_run.config(iterations=5, learning_rate=0.001, beta1=0.5, lambdas=lambdas), run, resume=True)
    told = capsys.readouterr().out
    assert "continuing" in told
    for line in ("learning_rate: 0.002, now 0.001", "beta1: 0.0, now 0.5", "lambdas.x_rec: 1.0, now 2.0"):
        assert line in told
    assert "seed" not in told


def test_an_optimiser_for_the_warm_up_can_come_and_go(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for iterations, optimiser in ((6, "muon"), (8, "adam")):
        config = tiny_run.config(iterations=iterations, warmup_optimiser=optimiser, warmup_iterations=7)
        assert train(config, run, resume=True).name == f"0000000{iterations}.pt"
    told = capsys.readouterr().out
    assert "warmup_optimiser: adam, now muon" in told
    assert "warmup_optimiser: muon, now adam" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 2, "class_label": "glasses"}, "trained with no classes, asked is 2 classes"),
        ({"stage": "mapping", "start_from": "x.pt"}, "trained with the stage networks, asked is the stage"),
    ],
)
def test_what_cannot_change_is_said(run: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(checkpoints.CheckpointError, match=rf"00000004\.pt: it was {words}.*--start-from"):
        train(tiny_run.config(**changes), run, resume=True)


def test_classes_cannot_be_dropped(tmp_path: Path) -> None:
    train(tiny_run.config(classes=2, class_label="hat", iterations=2), tmp_path)
    with pytest.raises(checkpoints.CheckpointError, match="trained with 2 classes, asked is no classes"):
        train(tiny_run.config(), tmp_path, resume=True)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest = run / "checkpoints" / "00000004.pt"
    newest.write_bytes(newest.read_bytes()[:3000])
    assert train(tiny_run.config(), run, resume=True).name == "00000006.pt"
    (line,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert "00000004.pt: damaged" in line
    assert "\n" not in line


def test_without_any_readable_checkpoint_it_stops(run: Path) -> None:
    for path in checkpoints.found(run / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(checkpoints.DamagedError, match=r"00000002\.pt: damaged"):
        train(tiny_run.config(), run, resume=True)


@pytest.mark.parametrize(
    "changes",
    [{"data": "nowhere"}, {"start_from": "nowhere.pt"}, {"batch": 10}, {"perceptual": "nowhere.pth"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_failed_start_leaves_no_folder(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"nowhere|groups of 4"):
        train(tiny_run.config(**changes), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
