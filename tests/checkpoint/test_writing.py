"""Saving and converting."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors import safe_open

from stylemap.checkpoint import CheckpointError, convert, load, load_state, save_published, save_safetensors
from tests.checkpoint.test_reading import published, same_state
from tests.helpers import small


@pytest.mark.parametrize("norm", ["LayerNorm", "BatchNorm2d"])
def test_round_trip_is_bit_for_bit(tmp_path: Path, norm: str) -> None:
    model, discriminator = small.model(normalize_mode=norm), small.discriminator(normalize_mode=norm)
    save_published(model, tmp_path / "a.pt", discriminator, {"dataset": "afhq", "batch": 16, "odd": object()})
    convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    convert(tmp_path / "b.safetensors", tmp_path / "c.pt")
    convert(tmp_path / "c.pt", tmp_path / "d.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()
    first, last = load_state(tmp_path / "a.pt"), load_state(tmp_path / "c.pt")
    assert first.config == last.config == model.config
    assert first.train_args == last.train_args
    assert last.train_args["dataset"] == "afhq"
    for part in ("generator", "encoder", "discriminator", "raw_generator", "raw_encoder"):
        before, after = getattr(first, part), getattr(last, part)
        assert before.keys() == after.keys()
        assert all(before[k].dtype == after[k].dtype and torch.equal(before[k], after[k]) for k in before)


def test_training_state_survives_between_pt_files(tmp_path: Path) -> None:
    torch.save(published(small.model()), tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "b.pt")
    state = load_state(tmp_path / "b.pt")
    assert state.raw_generator is not None
    assert not any(t.any() for t in state.raw_generator.values())
    assert torch.equal(state.optimizers["g_optim"]["state"][0]["exp_avg"], torch.ones(3))


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_convert_to_half_precision(tmp_path: Path, kind: str) -> None:
    model = small.model()
    save_published(model, tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / f"b.{kind}", torch.float16)
    assert {t.dtype for t in load_state(tmp_path / f"b.{kind}").generator.values()} == {torch.float16}
    assert same_state(load(tmp_path / f"b.{kind}"), model.half().float())
    assert (tmp_path / f"b.{kind}").stat().st_size < 0.8 * (tmp_path / "a.pt").stat().st_size


def test_convert_in_place(tmp_path: Path) -> None:
    save_published(small.model(), tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "a.pt")
    assert same_state(load(tmp_path / "a.pt"), small.model())


def test_overflow_is_an_error(tmp_path: Path) -> None:
    model = small.model()
    model.encoder.state_dict()["final_conv.1.bias"][0] = 1e6
    save_published(model, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"final_conv\.1\.bias has values too large for float16"):
        convert(tmp_path / "a.pt", tmp_path / "b.pt", torch.float16)
    assert os.listdir(tmp_path) == ["a.pt"]


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a name that ends in \.safetensors or \.pt"):
        convert(tmp_path / "a.pt", tmp_path / "b.onnx")


def test_other_tools_read_our_safetensors(tmp_path: Path) -> None:
    model = small.model()
    save_safetensors(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "pt"
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    expected = model.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_weights_are_stored_once(tmp_path: Path) -> None:
    model = small.model()
    save_published(model, tmp_path / "a.pt")
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert (tmp_path / "a.pt").stat().st_size < 1.5 * weights + 100_000


@pytest.mark.parametrize("save", [save_published, save_safetensors])
def test_full_disk(tmp_path: Path, save: type[save_published]) -> None:
    path = tmp_path / "a"
    path.write_text("what was there")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("os.fsync", side_effect=full), pytest.raises(CheckpointError, match="No space left"):
        save(small.model(), path)
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_text() == "what was there"


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from stylemap.checkpoint import CheckpointError, save_published, save_safetensors
from tests.helpers import small

model = small.model()
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for save in (save_published, save_safetensors):
    try:
        save(model, sys.argv[1])
    except CheckpointError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes as POSIX does")
def test_write_that_fails_half_way(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    command = [sys.executable, "-c", _LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: cannot be written (") for line in lines)
    assert os.listdir(tmp_path) == []


def test_folder_as_destination(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_published(small.model(), tmp_path)
