"""Pipes, devices, folders and empty files in the place of files: one line, which says what they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stylemap import images
from stylemap.cli import app, main
from stylemap.config import Config
from stylemap.files import read_text, write_whole
from tests.helpers import tiny

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")


def _error(words: list[object], model: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    given = [str(word) for word in words] + (["--model", model] if model else [])
    assert main([*given, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a fault of stylemap" not in line
    return line


def test_inputs(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe without a writer would wait for ever, and a device may never end."""
    photo = photos / "p0.png"
    edit = ["edit", "--original", photo, "--output", tmp_path / "out", "--reference"]
    for command, place in (
        (["reconstruct", "PIPE.png", "--output", tmp_path / "out"], "an image"),
        (["reconstruct", "/dev/zero", "--output", tmp_path / "out"], "an image"),
        (["mix", photo, "PIPE.png", "--output", tmp_path / "out"], "an image"),
        ([*edit, photo, "--mask", "PIPE.png"], "an image"),
        ([*edit, "PIPE.png", "--mask", "box:0,0,1,1"], "an image"),
        (
            ["manipulate", photo, "--direction", "PIPE.npz", "--strength", 1, "--output", tmp_path / "o"],
            "a file",
        ),
        (
            ["manipulate", photo, "--direction", "PIPE.safetensors", "--strength", 1, "-o", tmp_path / "o"],
            "a file",
        ),
        (["direction", "--labels", "PIPE.csv", "--attribute", "a", "--output", tmp_path / "d.npz"], "a file"),
        (["bulk", "encode", "PIPE.tar", "--output", tmp_path / "out"], "a file"),
        (["bulk", "encode", "PIPE.csv", "--output", tmp_path / "out"], "a file"),
        (["data", "lmdb", "PIPE.png", "--sizes", 16, "--output", tmp_path / "x"], ""),
    ):
        words: list[object] = []
        for word in command:
            name = str(word)
            if name.startswith("PIPE"):
                name = str(tmp_path / name.lower())
                if not os.path.exists(name):
                    os.mkfifo(name)
            words.append(name)
        line = _error(words, None if command[0] == "data" else model_file, capsys)
        assert "pipe" in line or "device" in line
        assert line.endswith(place) or not place
    assert _error(["info", "--model", tmp_path / "pipe.png"], None, capsys).endswith("not a regular file")


def test_pipes_in_a_folder(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    images.save(tiny.photos(1)[0], folder / "a.png")
    os.mkfifo(folder / "b.png")
    words = ["reconstruct", folder, "--output", tmp_path / "out"]
    line = _error(words, model_file, capsys)
    assert "b.png is a pipe, not an image" in line
    assert "--skip-corrupt goes on without it" in line
    assert main([*map(str, words), "--model", model_file, "--skip-corrupt", "--overwrite"]) == 0
    assert (tmp_path / "out" / "a.png").exists()


def test_outputs(model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A result renamed to its place would put a file where a pipe or a device was."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    line = _error(["reconstruct", photos / "p0.png", "--output", pipe], model_file, capsys)
    assert f"cannot write {pipe}: it is a pipe" in line
    assert pipe.is_fifo()
    evaluate = ["evaluate", "--data", photos, "--count", 2, "--samples", 2]
    for place in ("/dev/null", tmp_path):  # before any work: it would print the table first
        assert f"cannot write {place}: it is a " in _error([*evaluate, "--output", place], model_file, capsys)
    fit = ["direction", "--faces", "smile", "--count", 4, "--output", tmp_path]
    assert f"cannot write {tmp_path}: it is a folder" in _error(fit, model_file, capsys)
    before = os.stat("/dev/null").st_rdev
    line = _error(["convert", model_file, "/dev/null"], None, capsys)
    assert "/dev/null" in line
    assert os.stat("/dev/null").st_rdev == before
    with (
        pytest.raises(FileExistsError, match="cannot write /dev/null: it is a device"),
        write_whole("/dev/null"),
    ):
        pass


_INTO_A_FILE = [
    "sample --count 1", "mix PHOTO seed:1", "manipulate PHOTO --map PHOTO",
    "interpolate PHOTO seed:1 --frames 2", "invert PHOTO --steps 0 --perceptual-weight 0",
    "bulk encode PHOTO", "bulk reconstruct PHOTO", "export onnx --graphs mapping", "export web",
    "data faces --size 16 --count 1", "data lmdb PHOTOS --sizes 16",
    "bench --quick",
    "train --iterations 1 --count 2 --batch 2 --size 16 --latent-spatial-size 4",
]  # fmt: skip


@pytest.mark.parametrize("command", _INTO_A_FILE)
@pytest.mark.parametrize("below", [False, True], ids=["file", "below"])
def test_a_folder_of_results_that_is_a_file(
    model_file: str,
    photos: Path,
    tmp_path: Path,
    command: str,
    below: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    places = {"PHOTO": photos / "p0.png", "PHOTOS": photos}
    words = [places.get(word, word) for word in command.split()]
    model = None if words[0] in ("data", "train", "bench") else model_file
    line = _error([*words, "--output", file / "out" if below else file], model, capsys)
    assert str(file) in line
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_empty_files(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = photos / "p0.png"
    for command in (
        "reconstruct EMPTY.png -o OUT", "reconstruct EMPTY.mp4 -o OUT/a.mp4", "mix PHOTO EMPTY.webp -o OUT",
        "edit --original PHOTO --reference PHOTO --mask EMPTY.png -o OUT", "bulk encode EMPTY.csv -o OUT",
        "bulk encode EMPTY.jsonl -o OUT", "bulk encode EMPTY.parquet -o OUT", "bulk encode EMPTY.tar -o OUT",
        "manipulate PHOTO --direction EMPTY.npz --strength 1 -o OUT",
        "manipulate PHOTO --direction EMPTY.safetensors --strength 1 -o OUT",
        "direction --labels EMPTY.csv --attribute a -o OUT/d.npz",
        "serve --replicas 0 --port 0 --tokens EMPTY.txt",
        "serve --replicas 0 --port 0 --directions EMPTY.safetensors",
        "edit-server --port 0 --directions EMPTY.safetensors", "edit-server --port 0 --segmenter EMPTY.onnx",
        "edit-server --port 0 --images EMPTY.png",
        "evaluate --data PHOTOS --count 2 --samples 2 --lpips EMPTY.pth",
        "export onnx --images EMPTY.png -o OUT",
        "bench compare EMPTY.json EMPTY.json", "bench report EMPTY.json", "train --config EMPTY.yaml -o OUT",
        "train --data EMPTY.tar -o OUT", "info --model EMPTY.onnx", "data lmdb EMPTY.tar --sizes 16 -o OUT/x",
    ):  # fmt: skip
        words: list[object] = []
        for word in command.split():
            if word.startswith("EMPTY"):
                word = str(tmp_path / word)
                Path(word).touch()
            places = {"PHOTO": str(photo), "PHOTOS": str(photos)}
            words.append(places.get(word, word.replace("OUT", str(tmp_path / "out"))))
        named = {"bench", "train", "data", "info"}
        line = _error(words, None if words[0] in named else model_file, capsys)
        assert "EMPTY" in line, command


def test_texts_are_utf_8_in_any_locale(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xef\xbb\xbfgr\xc3\xbc\xc3\x9f")
    assert read_text(path) == "grüß"
    path.write_bytes(b"name \xff")
    with pytest.raises(ValueError, match="tokens is no text in UTF-8: invalid start byte at byte 5"):
        read_text(path)


def test_without_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As python -OO leaves the package: the help of some flags is taken from a docstring."""
    monkeypatch.setattr(Config, "__doc__", None)
    assert app.build_parser().parse_args(["train", "--output", "x"]).command == "train"


@pytest.mark.parametrize(
    "command",
    [
        "train --config FILE",
        "direction --labels FILE.csv --attribute a",
        "bulk encode FILE.csv",
        "bulk encode FILE.jsonl",
        "convert MODEL --card --metrics FILE",
        "bench report FILE",
    ],
)
def test_texts_without_end(
    model_file: str, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would fill the memory: of zeros, as a sparse file or /dev/zero has them, a line has no end."""
    words: list[object] = []
    file = ""
    for word in command.split():
        if word.startswith("FILE"):
            file = str(tmp_path / word.lower())
            with open(file, "wb") as opened:
                opened.truncate(1 << 40)
        words.append({"MODEL": model_file}.get(word, file if word.startswith("FILE") else word))
    output = [] if words[0] == "bench" else ["--output", tmp_path / "out.safetensors"]
    model = model_file if words[0] in ("bulk", "direction") else None
    line = _error([*words, *output], model, capsys)
    assert file in line
    assert "MiB" in line or "characters" in line or "no result" in line


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no file whose reading fails")
@pytest.mark.parametrize(
    "command",
    [
        "reconstruct FILE --output OUT",
        "edit --original PHOTO --reference PHOTO --mask FILE --output OUT",
        "manipulate PHOTO --direction FILE --strength 1 --output OUT",
        "manipulate PHOTO --direction LINK --strength 1 --output OUT",
        "train --config FILE --output OUT",
        "direction --labels FILE --attribute a --output OUT.npz",
        "info --model FILE",
    ],
)
def test_a_disk_that_fails(
    model_file: str, photos: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the system says of a read, as of a disk or a network that fails, names no file."""
    link = tmp_path / "link.safetensors"
    link.symlink_to("/proc/self/mem")
    places = {
        "FILE": "/proc/self/mem",
        "LINK": link,
        "PHOTO": photos / "p0.png",
        "OUT": tmp_path / "out",
        "OUT.npz": tmp_path / "out.npz",
    }
    words: list[object] = [places.get(word, word) for word in command.split()]
    line = _error(words, None if words[0] in ("train", "info") else model_file, capsys)
    assert str(link if "LINK" in command else "/proc/self/mem") in line
