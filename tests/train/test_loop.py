"""Whole runs: what they leave behind, stop for, and continue from."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from stylemap.files import only_writer
from stylemap.train import TrainConfig, TrainingError, checkpoints, record, train
from stylemap.train.step import Step
from tests.helpers import needs
from tests.train import tiny_run

ROOT = Path(__file__).parents[2]


def test_what_a_run_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_run.config(sample_every=4)
    last = train(config, tmp_path)
    assert last.name == "00000006.pt"
    assert [p.name for p in checkpoints.found(tmp_path / "checkpoints")] == [
        "00000002.pt", "00000004.pt", "00000006.pt"
    ]  # fmt: skip
    entries = record.read(tmp_path / "losses.jsonl")
    assert [entry["iteration"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    names = {"adv", "w_rec", "d", "indomain_d", "r1", "x_rec", "perceptual", "indomain_e"}
    assert names | {"iteration", "its"} == set(entries[0])
    assert TrainConfig.load(tmp_path / "config.yaml") == config
    # The average (without ramp-up) and the networks being trained differ: both are shown.
    for folder, rows in (("samples", 4), ("reconstructions", 3)):
        grids = sorted((tmp_path / folder).iterdir())
        assert [grid.name for grid in grids] == ["00000004.png", "00000006.png"]
        assert Image.open(grids[0]).size == (8 * 16, rows * 16)
    assert capsys.readouterr().out.count("it/s") == 6


def test_plot(tmp_path: Path) -> None:
    needs.package("matplotlib")
    lines = [{"iteration": i, "its": 2.0, "x_rec": 1 / i, "adv": i - 2.0} for i in range(1, 9)]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert record.plot(tmp_path) == tmp_path / "losses.png"
    assert Image.open(tmp_path / "losses.png").width > 300


def test_tensorboard(tmp_path: Path) -> None:
    needs.package("tensorboard")
    log = record.Record(tmp_path, 0, tiny_run.config(iterations=2))
    log.add(0, {"x_rec": 0.5})
    log.close()
    assert any((tmp_path / "tensorboard").iterdir())


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(tiny_run.config(iterations=2), tmp_path)
    with pytest.raises(FileExistsError, match="--resume"):
        train(tiny_run.config(iterations=2), tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops(bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_call = Step.__call__

    def broken(self: Step, parts: Any, iteration: int) -> dict[str, Tensor]:
        losses = real_call(self, parts, iteration)
        return losses | {"w_rec": torch.tensor(bad)} if iteration == 3 else losses

    monkeypatch.setattr(Step, "__call__", broken)
    with pytest.raises(TrainingError, match=rf"loss w_rec is {bad} at iteration 3.*00000002\.pt"):
        train(tiny_run.config(), tmp_path)
    (kept,) = checkpoints.found(tmp_path / "checkpoints")
    monkeypatch.undo()
    assert train(tiny_run.config(), tmp_path, resume=True).name == "00000006.pt"
    assert kept.name == "00000002.pt"


def test_diverging_weights_stop(tmp_path: Path) -> None:
    """No mock: a learning rate that blows the weights up."""
    with pytest.raises(TrainingError, match=r"loss \w+ is \S+ at iteration \d: training diverges"):
        train(tiny_run.config(learning_rate=1e6, iterations=20), tmp_path)


KILLED = """
import sys
from collections.abc import Iterator
from pathlib import Path
from stylemap.train import train
from tests.train import tiny_run
train(tiny_run.config(iterations=400, warmup_iterations=3, fit_mapping=True), Path(sys.argv[1]))
"""


def test_resume_after_kill_is_bit_for_bit(tmp_path: Path) -> None:
    """A run killed by SIGKILL and continued ends in the very weights of one that was left alone."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(killed)],
        cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while len(checkpoints.found(killed / "checkpoints")) < 2:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = int(checkpoints.found(killed / "checkpoints")[-1].stem)
    changes = {"iterations": reached + 3, "warmup_iterations": 3, "fit_mapping": True, "keep": 1}
    resumed = train(tiny_run.config(**changes), killed, resume=True)
    unbroken = train(tiny_run.config(**changes), whole)
    assert_same(torch.load(resumed, weights_only=False), torch.load(unbroken, weights_only=False))
    tail = [e["x_rec"] for e in record.read(whole / "losses.jsonl")]
    assert [e["x_rec"] for e in record.read(killed / "losses.jsonl")] == tail


def assert_same(a: Any, b: Any, path: str = "") -> None:
    assert type(a) is type(b), path
    if isinstance(a, Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{number}]")
    else:
        assert a == b, path


def test_lines_of_iterations_to_be_repeated_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    path.write_text('{"iteration": 2, "its": 1, "x": 1}\n{"iteration": 4, "its": 1, "x": 2}\n{"iterat')
    log = record.Record(tmp_path, 2, tiny_run.config(iterations=8))
    log.add(2, {"x": 5.0})
    log.close()
    assert [(e["iteration"], e["x"]) for e in record.read(path)] == [(2, 1), (3, 5)]


def test_fit_mapping_gives_the_mean_and_spread_of_the_encoder(tmp_path: Path) -> None:
    from stylemap.train.batches import to_float
    from stylemap.train.mapping_start import fit_mapping
    from stylemap.train.networks import Networks
    from stylemap.train.sources import open_source

    config = tiny_run.config(warmup_iterations=1, fit_mapping=True, count=512)
    networks = Networks(config, tiny_run.CPU)
    images = to_float(open_source(config).batch(range(512))[0])
    before = networks.generator.decoder.state_dict()["conv1.conv.weight"].clone()
    fit_mapping(networks, images, config)
    with torch.no_grad():
        wanted = networks.encoder(images).flatten(1)
        z = torch.randn(4096, 6, generator=torch.Generator().manual_seed(1))
        found = networks.mapping(z).flatten(1)
    assert float((found.mean(0) - wanted.mean(0)).norm() / wanted.mean(0).norm()) < 0.1
    # Six components carry most of the variance of an untrained encoder's stylemaps, and none is added.
    ratio = float(found.var(0).sum() / wanted.var(0).sum())
    assert 0.6 < ratio < 1.1
    assert torch.equal(before, networks.generator.decoder.state_dict()["conv1.conv.weight"])
    assert torch.equal(networks.g_ema.mapping_z[-1].weight, networks.generator.mapping_z[-1].weight)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_device_is_an_error(device: str, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="no GPU"):
        train(tiny_run.config(device=device), tmp_path)


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "replaced"])
def test_a_folder_deleted_while_training_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    folder, add = tmp_path / "run", record.Record.add

    def add_then_delete(log: record.Record, iteration: int, losses: dict[str, float]) -> None:
        add(log, iteration, losses)
        if iteration == 0:
            shutil.rmtree(folder)
            if again:
                (tmp_path / "kept").mkdir()  # so that the new folder is another one on every file system
                folder.mkdir()

    monkeypatch.setattr(record.Record, "add", add_then_delete)
    monkeypatch.setattr(record, "_tensorboard", lambda folder: None)  # its thread would fail at its own time
    with pytest.raises(FileNotFoundError, match="run was deleted while training ran: stopped at iteration 1"):
        train(tiny_run.config(), folder)
    assert list(folder.iterdir() if again else tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX alone")
def test_two_runs_do_not_write_to_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylemap.train.loop._PATIENCE", 0.1)
    folder = tmp_path / "run"
    with (
        only_writer(folder),
        pytest.raises(ValueError, match=f"another run is writing to {folder}"),
    ):
        train(tiny_run.config(iterations=1), folder)
    assert list(folder.iterdir()) == []
    # One that was waited for has left a run: it is not overwritten.
    real = only_writer

    @contextlib.contextmanager
    def after_another(folder: Path, patience: float) -> Iterator[None]:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "00000001.pt").touch()
        with real(folder, patience):
            yield

    monkeypatch.setattr("stylemap.train.loop.only_writer", after_another)
    with pytest.raises(FileExistsError, match="another run has written to"):
        train(tiny_run.config(iterations=1), folder)
    assert not (folder / "config.yaml").exists()
