"""A package folder that cannot be written, no home, and names as long as they go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stylemap
from stylemap.cli import main
from stylemap.images import ImageError, open_rgb
from stylemap.optional import how_to_install

ROOT = Path(stylemap.__file__).parent.parent


_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77; exec "$@"'


def test_a_package_that_cannot_be_written_and_no_home(model_file: str, photos: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or not sys.platform.startswith("linux"):
        pytest.skip("a view of the disk of its own needs Linux's unshare")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    call = ["unshare", "-rm", "sh", "-c", _READ_ONLY, ROOT, sys.executable, "-m", "stylemap", "reconstruct"]
    call += [photos / "p0.png", "--device", "cpu", "--model", model_file, "--output", "größe/a.png"]
    done = subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, check=False)
    if done.returncode == 77 or b"unshare" in done.stderr:
        pytest.skip("this user may not mount a folder")
    assert done.returncode == 0, done.stderr
    assert b"error" not in done.stderr
    assert (tmp_path / "größe" / "a.png").exists()


@pytest.mark.parametrize("character", ["a", "é", "中"])
def test_names_of_250_bytes(
    model_file: str, photos: Path, tmp_path: Path, character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = character * (246 // len(character.encode()))
    folder = tmp_path / ("d" * 250)
    folder.mkdir()
    for index in (0, 1):
        name = f"{stem[:-1]}{index}.png"
        shutil.copyfile(photos / f"p{index}.png", folder / name)
    words = ["--model", model_file, "--device", "cpu"]
    for command in (["reconstruct", str(folder)], ["mix", str(folder), "seed:1"]):
        output = tmp_path / command[0]
        assert main([*command, "--output", str(output), *words]) == 0
        assert len(list(output.iterdir())) == 3
    single = tmp_path / f"{stem}.png"
    assert main(["reconstruct", str(photos / "p0.png"), "--output", str(single), *words]) == 0
    assert single.exists()
    capsys.readouterr()
    beyond = tmp_path / ("b" * 300 + ".png")
    assert main(["reconstruct", str(photos / "p0.png"), "--output", str(beyond), *words, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a fault of stylemap" not in line


def test_a_name_that_no_file_has() -> None:
    for name in ("a\0b.png", "b" * 300 + ".png"):
        with pytest.raises((ImageError, OSError, ValueError)):
            open_rgb(name)


@pytest.mark.parametrize(
    "command",
    [
        "reconstruct PHOTO --output a.png", "interpolate PHOTO seed:1 --frames 2 --output a.gif",
        "bulk encode PHOTO --output x", "bulk reconstruct PHOTO --output x", "sample --count 1 --output x",
        "train --iterations 1 --count 2 --batch 2 --size 16 --latent-spatial-size 4 --output x",
        "data lmdb PHOTO --sizes 16 --output x", "export onnx --graphs mapping --output x",
        "reconstruct p.png --output x", "bulk encode p.png --output x",
    ],
)  # fmt: skip
def test_a_current_folder_that_was_deleted(
    model_file: str,
    photos: Path,
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    words = command.replace("PHOTO", str(photos / "p0.png")).split()
    if words[0] not in ("train", "data"):
        words += ["--model", model_file]
    assert main([*words, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.rstrip(")").endswith(f"the current folder {folder} was deleted")
    assert "Errno" not in line
    assert "fault" not in line


def test_a_deleted_current_folder_is_needed_by_relative_names_alone(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert how_to_install("video").endswith("[video]'")
    target = tmp_path / "a.png"
    assert main(["reconstruct", str(photos / "p0.png"), "-o", str(target), "--model", model_file]) == 0
    assert target.exists()
