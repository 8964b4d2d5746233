"""A model with random weights, or after a few iterations, says so once when photos are edited with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stylemap import checkpoint, images
from stylemap.cli import main
from stylemap.photo.models import is_telling, is_untrained
from tests.helpers import tiny


@pytest.fixture(scope="module")
def random_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights, of which nothing is noted."""
    path = tmp_path_factory.mktemp("random") / "a.safetensors"
    checkpoint.save_safetensors(tiny.model(), path)
    return str(path)


COMMANDS = [
    ["reconstruct", "IN"],
    ["edit", "--original", "IN", "--reference", "P0", "--mask", "box:0,0,1,0.5"],
    ["edit", "--original", "IN", "--reference", "P0", "--mask", "box:0,0,1,0.5", "--paste=replace"],
    ["mix", "IN", "P0"],
    ["manipulate", "IN", "--map", "P0"],
    ["transplant", "--original", "IN", "--reference", "P0", "--box", "0,0,0,0,1,1"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_one_line_says_so(
    random_file: str, photos: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [{"IN": str(photos), "P0": str(photos / "p0.png")}.get(word, word) for word in command]
    words += ["--output", str(tmp_path / "out"), "--model", random_file, "--device", "cpu", "--json"]
    assert main(words) == 0
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith(f"stylemap: warning: the model's reconstruction of {photos / 'p0.png'} has")
    assert line.endswith("its weights are random or hardly trained, or it knows no such photos")
    assert len(json.loads(told.out)["warnings"]) == 1


def test_a_measured_model_says_nothing(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reconstruct", str(photos), "--output", str(tmp_path), "--model", model_file, "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().err == ""


def test_a_plain_photo_tells_nothing(
    random_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images.save(torch.full((3, 32, 32), 0.2), tmp_path / "1.png")
    words = ["--output", str(tmp_path / "o"), "--model", random_file, "--quiet"]
    assert main(["reconstruct", str(tmp_path / "1.png"), *words]) == 0
    assert capsys.readouterr().err == ""
    images.save(tiny.photos(1)[0], tmp_path / "2.png")
    assert main(["reconstruct", str(tmp_path / "1.png"), str(tmp_path / "2.png"), *words]) == 0
    assert f"reconstruction of {tmp_path / '2.png'} has" in capsys.readouterr().err


def test_what_is_compared() -> None:
    photo = tiny.photos(1)[0]
    plain = photo.mean((-2, -1), keepdim=True).expand_as(photo)
    assert is_telling(photo)
    assert not is_telling(0.1 * photo)
    assert is_untrained(photo, plain)
    assert not is_untrained(photo, 0.5 * photo + 0.5 * plain)
    assert not is_untrained(photo, photo)
