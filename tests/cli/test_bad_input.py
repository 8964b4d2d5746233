"""Bad input: exit status 1 or 2, one line that names the culprit, nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stylemap
from stylemap import images
from stylemap.cli import app, main
from tests.helpers import tiny


@pytest.fixture
def fails(model_file: str, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command that must fail; returns its one line."""

    def call(*arguments: object, model: str | None = model_file) -> str:
        extra = [] if model is None else ["--model", model]
        try:
            status = main([*map(str, arguments), *extra])
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if ": error: " in line]
        assert status in (1, 2)
        assert len(lines) == 1
        assert captured.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in captured.err
        assert "wrote" not in captured.out
        return lines[0]

    return call


@pytest.fixture
def edit_arguments(photos: Path, tmp_path: Path) -> dict[str, object]:
    return {
        "original": photos / "p0.png",
        "reference": photos / "p1.png",
        "mask": "box:0,0,1,1",
        "output": tmp_path / "out" / "a.png",
    }


def _flags(arguments: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in arguments.items()]


@pytest.mark.parametrize("place", ["original", "reference", "mask"])
def test_missing_file(fails, edit_arguments: dict[str, object], place: str, tmp_path: Path) -> None:
    line = fails("edit", *_flags({**edit_arguments, place: tmp_path / "missing.jpg"}))
    assert line.startswith("stylemap edit: error: ")
    assert "missing.jpg" in line
    assert not (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("place", ["original", "reference", "mask"])
def test_text_as_image(fails, edit_arguments: dict[str, object], place: str, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    line = fails("edit", *_flags({**edit_arguments, place: tmp_path / "notes.png"}))
    assert "notes.png is not a picture that can be read" in line


def test_truncated_jpeg(fails, edit_arguments: dict[str, object], tmp_path: Path) -> None:
    images.save(torch.rand(3, 64, 64), tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:900])
    assert "cut.jpg is damaged or incomplete" in fails(
        "edit", *_flags({**edit_arguments, "original": tmp_path / "cut.jpg"})
    )


def test_wrong_mask_size_names_the_sizes(fails, edit_arguments: dict[str, object], tmp_path: Path) -> None:
    Image.new("L", (40, 20)).save(tmp_path / "m.png")
    line = fails("edit", *_flags({**edit_arguments, "mask": tmp_path / "m.png"}))
    assert "m.png is 40 x 20; it must be 32 x 32" in line
    assert "32 x 32 as p1.png" in line


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("box:0,0,1", "expected four numbers"),
        ("box:a,b,c,d", "expected four numbers"),
        ("box:0.5,0,0.2,1", "box needs"),
        ("box:0,0,40,40", "box needs"),
        ("ellipse:0.5,0.5,0,0.1", "radii above 0"),
        ("ellipse:nan,0.5,0.1,0.1", "ellipse needs"),
    ],
)
def test_bad_shapes(fails, edit_arguments: dict[str, object], mask: str, message: str) -> None:
    assert message in fails("edit", *_flags({**edit_arguments, "mask": mask}))


def test_counts_that_do_not_match(
    fails, edit_arguments: dict[str, object], photos: Path, tmp_path: Path
) -> None:
    flags = _flags(edit_arguments)
    assert "1 --reference but 2 --mask" in fails("edit", *flags, "--mask=box:0,0,1,1")
    assert "1 --reference but 2 --shift" in fails("edit", *flags, "--shift=1,1", "--shift=2,2")
    assert "1 --reference but 2 --union" in fails(
        "edit", *flags, "--union=box:0,0,1,1", "--union=box:0,0,1,1"
    )
    assert "without --shift" in fails("edit", *flags, "--mode=w", "--shift=1,1")
    assert "--frames must be at least 1" in fails("edit", *flags, "--frames=0")
    assert "2 images cannot go into one file" in fails("edit", *flags, "--frames=2")
    assert "expected two whole numbers" in fails("edit", *flags, "--shift=1")
    Image.new("L", (32, 32)).save(tmp_path / "0.png")
    moving = _flags({**edit_arguments, "original": photos, "mask": tmp_path, "output": tmp_path / "o"})
    assert "holds 1 masks for 4 originals" in fails("edit", *moving)


def test_output_that_cannot_be_written(fails, edit_arguments: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = fails("edit", *_flags({**edit_arguments, "output": tmp_path / "file" / "a.png"}))
    assert str(tmp_path / "file") in line
    line = fails(
        "reconstruct", edit_arguments["original"], "--output", tmp_path / "file" / "deeper" / "folder"
    )
    assert str(tmp_path / "file") in line


def test_models(fails, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.pt").write_text("not a checkpoint")
    arguments = ("reconstruct", photos / "p0.png", "--output", tmp_path / "a.png")
    assert "m.pt" in fails(*arguments, model=str(tmp_path / "m.pt"))
    assert "missing.pt" in fails(*arguments, model=str(tmp_path / "missing.pt"))
    assert "device 'cuda:99' is not available" in fails(*arguments, "--device", "cuda:99")
    assert "device 'toaster' is not available" in fails(*arguments, "--device", "toaster")
    monkeypatch.setattr("stylemap.assets.FOLDER", tmp_path)
    assert "name a checkpoint with --model FILE" in fails(*arguments, model=None)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((8, 8, 8), np.nan), "NaN"),
        (np.zeros((8, 8, 8)), "length above 0"),
        (np.ones((4, 8, 8)), "(4, 8, 8), but the model's stylemaps are (8, 8, 8)"),
        (np.ones(8), "no array K x L x L"),
    ],
)
def test_directions(fails, photos: Path, tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "d.npz", vector=array)
    line = fails(
        "manipulate", photos, "--direction", tmp_path / "d.npz", "--strength", 1, "--output", tmp_path / "o"
    )
    assert message in line
    assert "d.npz" in line


def test_direction_examples(fails, photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,smile\np0.png,1\np1.png,maybe\n")
    output = ("--output", tmp_path / "d.npz")
    base = ("direction", "--labels", labels, "--images", photos, *output)
    assert "line 3: 'maybe' is neither yes nor no" in fails(*base, "--attribute", "smile")
    assert "no column 'hat', but smile" in fails(*base, "--attribute", "hat")
    assert "--labels goes with --attribute" in fails(*base)
    assert "faces have no attribute" in fails("direction", "--faces", "wings", "--count", 8, *output)
    assert "--positive and --negative" in fails("direction", *output)
    assert "--cost must be above 0, got 0" in fails(*base, "--attribute", "smile", "--cost", 0)
    assert "--seed must be from 0 to 9223372036854775807, got -1" in fails(
        *base, "--attribute", "smile", "--seed", -1
    )
    assert "must end in .npz" in fails(
        "direction", "--positive", photos, "--negative", photos, "--output", "a.txt"
    )
    labels.write_text("file,smile\np0.png,1\np1.png,0\n")
    assert "each kind needs two examples, got 1 with and 1 without" in fails(*base, "--attribute", "smile")
    labels.write_bytes(b"\xff\xfe\x00bad")
    assert "labels.csv is no text in UTF-8" in fails(*base, "--attribute", "smile")


def test_other_commands(fails, photos: Path, tmp_path: Path) -> None:
    output = ("--output", tmp_path / "o")
    pair = ("--original", photos / "p0.png", "--reference", photos / "p1.png")
    assert "does not lie in its stylemap of 8 x 8" in fails(
        "transplant", *pair, "--box", "7,7,0,0,2,2", *output
    )
    assert "expected six" in fails("transplant", *pair, "--box", "1,2", *output)
    assert "code 9 does not exist" in fails(
        "mix", photos / "p0.png", photos / "p1.png", "--take", "9", *output
    )
    assert "expected coarse, fine or" in fails(
        "mix", photos / "p0.png", photos / "p1.png", "--take", "x", *output
    )
    assert "--count must be at least 1" in fails("sample", "--count", 0, *output)
    assert "--frames must be at least 1" in fails("interpolate", photos, photos, "--frames", 0, *output)
    assert "--steps must be at least 0" in fails("invert", photos, "--steps", -1, *output)
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    images.save(tiny.photos(1)[0], tmp_path / "two" / "a.png")
    images.save(tiny.photos(1)[0], tmp_path / "two" / "b.png")
    assert "2 and 4 images make no pairs" in fails("mix", tmp_path / "two", photos, *output)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--quality=500", "--quality must be from 1 to 100, got 500"),
        ("--quality=0", "--quality must be from 1 to 100, got 0"),
        ("--workers=-1", "--workers must be from 1 to 256, got -1"),
        ("--count=0", "--count must be from 1 to 1000000000, got 0"),
    ],
)
def test_values_out_of_range(fails, tmp_path: Path, flag: str, message: str) -> None:
    line = fails("data", "lmdb", "faces", "--output", tmp_path / "x.lmdb", flag, model=None)
    assert line == f"stylemap data: error: {message}"
    assert not (tmp_path / "x.lmdb").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there(fails, model_file: str, photos: Path) -> None:
    with pytest.raises(ValueError, match="device 'cuda' is not available"):
        stylemap.load(model_file, device="cuda")
    assert "device 'cuda' is not available" in fails("reconstruct", photos, "--device=cuda", "--output=o")


def test_convert(fails, model_file: str, tmp_path: Path) -> None:
    assert "x.onnx" in fails("convert", model_file, tmp_path / "x.onnx", model=None)
    assert "missing.pt" in fails("convert", tmp_path / "missing.pt", tmp_path / "x.pt", model=None)
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["nonsense"], ["edit"], ["sample", "--count", "many", "--output", "o"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_debug_shows_the_traceback(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "reconstruct",
        str(tmp_path / "missing.png"),
        "--model",
        model_file,
        "--output",
        "o",
        "--debug",
    ]
    assert main(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


def test_faults_and_interrupts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(error: BaseException) -> object:
        def run(args: object) -> None:
            raise error

        return run

    monkeypatch.setattr("stylemap.cli.info.run", failing(KeyError("oops")))
    assert main(["info"]) == 1
    assert "KeyError: 'oops' (a fault of stylemap; --debug shows where)" in capsys.readouterr().err
    monkeypatch.setattr("stylemap.cli.info.run", failing(KeyboardInterrupt()))
    assert main(["info"]) == 130
    assert app.one_line(RuntimeError("two\nlines")) == "two lines"


def test_a_missing_model_among_several_is_told_at_the_start(
    model_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edit-server", "--port", "0", "--model", model_file, "--model", "nix.pt"]) == 1
    assert capsys.readouterr().err == "stylemap edit-server: error: nix.pt: no such file\n"
