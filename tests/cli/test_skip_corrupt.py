"""Folders with files that are no photos: the option that goes on without them is named, and skips them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stylemap import images
from stylemap.cli import main
from tests.helpers import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, and between them a damaged one, a folder, a broken link and a page."""
    here = tmp_path / "in"
    here.mkdir()
    for index, photo in enumerate(tiny.photos(3)):
        images.save(photo, here / f"{3 * index}.png")
    (here / "4.png").write_bytes((here / "0.png").read_bytes()[:80])
    (here / "5.jpg").mkdir()
    os.symlink(here / "gone.png", here / "7.png")
    (here / "8.png").write_text("<html>not found</html>")
    return here


COMMANDS = [
    ["reconstruct", "IN"],
    ["mix", "IN", "PHOTO"],
    ["interpolate", "PHOTO", "IN", "--frames", "2"],
    ["transplant", "--original", "IN", "--reference", "PHOTO", "--box", "0,0,0,0,1,1"],
    ["edit", "--original", "IN", "--reference", "PHOTO", "--mask", "box:0,0,1,0.5"],
    ["manipulate", "IN", "--map", "MAP"],
    ["invert", "IN", "--steps", "0", "--perceptual-weight", "0"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_results_are_kept_and_the_rest_is_skipped(
    model_file: str, folder: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    images.save(tiny.photos(1)[0], photo)
    words = [{"IN": str(folder), "PHOTO": str(photo), "MAP": str(photo)}.get(word, word) for word in command]
    words += ["--output", str(out), "--model", model_file, "--device", "cpu"]

    assert main([*words, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    each = 2 if command[0] == "interpolate" else 1
    kept = f"; {2 * each} images of {7 * each} written before it, contact sheet {out / 'sheet.png'}"
    assert line.endswith(f"{kept}; --skip-corrupt goes on without it")
    assert f"{folder / '4.png'} is " in line
    assert (out / "sheet.png").exists()
    assert len([path for path in out.glob("*.png") if "_loss" not in path.name]) == 2 * each + 1

    assert main([*words, "--skip-corrupt", "--json"]) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert len(facts["images"]) == 3 * each
    assert [Path(one["file"]).name for one in facts["skipped"]] == ["4.png", "5.jpg", "7.png", "8.png"]
    for reason in ("4.png is", "5.jpg is a folder", "7.png is a broken link", "8.png is not a picture"):
        assert sum(reason in line for line in told.err.splitlines()) == 1


def test_nothing_left(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_text("text")
    words = ["reconstruct", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--model", model_file]
    assert main([*words, "--skip-corrupt"]) == 1
    assert f"error: no readable image in {tmp_path / 'in'}" in capsys.readouterr().err


def test_one_file_has_nothing_to_go_on_with(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_text("text")
    assert main(["reconstruct", str(tmp_path / "a.png"), "--output", "out", "--model", model_file]) == 1
    assert "skip-corrupt" not in capsys.readouterr().err


def test_data_sets(model_file: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lmdb = ["data", "lmdb", str(folder), "--sizes", "16", "--output", str(tmp_path / "x.lmdb")]
    evaluate = ["evaluate", "--data", str(folder), "--samples", "2", "--model", model_file, "--device", "cpu"]
    train = ["train", "--data", str(folder), "--output", str(tmp_path / "run"), "--device", "cpu"]
    train += ["--size", "16", "--latent-spatial-size", "8", "--batch", "2", "--iterations", "1"]
    for words in (lmdb, evaluate, train):
        assert main(words) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert f"{folder / '4.png'} is " in last
        assert last.endswith("; --skip-corrupt goes on without it")
    assert main([*lmdb, "--skip-corrupt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 3
    assert main([*evaluate, "--skip-corrupt", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["skipped_images"]) == 4
