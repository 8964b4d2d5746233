"""Checkpoints: whole or not at all, the last few kept, readable by everything that reads models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stylemap
from stylemap.config import Config
from stylemap.train import checkpoints
from stylemap.train.networks import Networks
from stylemap.train.step import Step
from tests.train import tiny_run


def trained() -> Networks:
    config = tiny_run.config()
    networks = Networks(config, tiny_run.CPU)
    Step(networks, config)([tiny_run.part(4)], 0)
    return networks


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    networks, config = trained(), tiny_run.config()
    path = checkpoints.save(tmp_path, networks, config, 7)
    other = Networks(tiny_run.config(seed=1), tiny_run.CPU)
    assert checkpoints.load(path, other, config)["iteration"] == 7
    expected, actual = networks.state_dict(), other.state_dict()
    assert actual.keys() == expected.keys()
    for name in ("generator", "encoder", "discriminator", "g_ema", "e_ema"):
        assert all(torch.equal(value, actual[name][key]) for key, value in expected[name].items())
    for name in ("g_optim", "e_optim", "d_optim"):
        for key, state in expected[name]["state"].items():
            assert all(torch.equal(value, actual[name]["state"][key][k]) for k, value in state.items())


def test_it_loads_as_a_model(tmp_path: Path) -> None:
    networks = trained()
    model = stylemap.load(checkpoints.save(tmp_path, networks, tiny_run.config(), 1))
    assert model.config == tiny_run.MODEL
    z = tiny_run.part(2).z
    expected = networks.g_ema(z)
    assert torch.allclose(model.decode(model.map(z)), expected, atol=1e-5)


def test_it_notes_its_data(tmp_path: Path) -> None:
    networks, config = trained(), tiny_run.config()
    assert stylemap.checkpoint.notes(checkpoints.save(tmp_path, networks, config, 1))["data"] == config.data


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    networks, config = trained(), tiny_run.config(keep=2)
    for iteration in (2, 4, 6, 10):
        checkpoints.save(tmp_path, networks, config, iteration)
    assert [path.name for path in checkpoints.found(tmp_path)] == ["00000006.pt", "00000010.pt"]
    assert checkpoints.found(tmp_path / "missing") == []


def test_damage_is_named(tmp_path: Path) -> None:
    networks, config = trained(), tiny_run.config()
    path = checkpoints.save(tmp_path, networks, config, 1)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(checkpoints.CheckpointError, match=r"00000001\.pt"):
        checkpoints.load(path, networks, config)


def test_another_model_is_named(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, trained(), tiny_run.config(), 1)
    values = tiny_run.MODEL.to_dict() | {"small_generator": False}
    other = tiny_run.config(model=Config.from_dict(values))
    with pytest.raises(checkpoints.CheckpointError, match="small_generator"):
        checkpoints.load(path, Networks(other, tiny_run.CPU), other)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from stylemap.train import checkpoints
from tests.train.test_checkpoints import trained
from tests.train import tiny_run
networks, config, folder = trained(), tiny_run.config(keep=1), Path(sys.argv[1])
checkpoints.save(folder, networks, config, 1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    checkpoints.save(folder, networks, config, 2)
except OSError as error:
    print(error)
"""


def test_a_file_that_cannot_be_finished_leaves_the_old_ones(tmp_path: Path) -> None:
    """A file size limit stops the write in its middle, as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True,
    )  # fmt: skip
    assert "00000002.pt: File too large" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.pt"]
    assert stylemap.load(tmp_path / "00000001.pt").config == tiny_run.MODEL


def test_a_weight_that_was_changed_is_damage(tmp_path: Path) -> None:
    """A wrong bit anywhere in a file is found: its checksums are compared."""
    networks, config = trained(), tiny_run.config()
    path = checkpoints.save(tmp_path, networks, config, 3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(checkpoints.DamagedError, match=r"00000003\.pt: damaged or truncated \(Bad CRC-32"):
        checkpoints.load(path, networks, config)


def test_what_was_loaded_needs_no_file(tmp_path: Path) -> None:
    networks, config = trained(), tiny_run.config()
    path = checkpoints.save(tmp_path, networks, config, 3)
    state = checkpoints.load(path, networks, config)
    before = {key: tensor.clone() for key, tensor in state["g_ema"].items()}
    path.write_bytes(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, state["g_ema"][key]) for key, tensor in before.items())
