"""Where results go: no two in one file, no input replaced unasked, frames saved one by one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stylemap import edit, images
from stylemap.cli import main, results
from stylemap.engine.session import EditSession
from stylemap.files import only_writer
from tests.helpers import tiny


@pytest.fixture
def command(model_file: str, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command; its exit status, what it printed, and its last line on stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main([*map(str, arguments), "--model", model_file, "--device", "cpu"])
        told = capsys.readouterr()
        return status, told.out, told.err.splitlines()[-1] if told.err else ""

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos whose names meet as results."""
    for index, name in enumerate(("p1.jpg", "p1.png", "p1_2.jpg", "p2.png", "sheet.png", "P2.webp")):
        images.save(tiny.photos(1, seed=index)[0], tmp_path / "in" / name)
    return tmp_path / "in"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_as_many_files_as_promised(command, folder: Path, tmp_path: Path) -> None:
    before = _contents(folder)
    status, told, _ = command("reconstruct", folder, "--output", tmp_path / "o")
    assert status == 0
    assert "wrote 6 images" in told
    written = _contents(tmp_path / "o")
    assert len(written) == 7
    assert len({name.casefold() for name in written}) == 7
    for photo in images.find([folder]):
        with torch.no_grad():
            expected = edit.reconstruct(tiny.model(), images.load(photo, tiny.SIZE)[None])
        pixels = np.asarray(images.to_image(expected)).astype(int)
        found = [np.asarray(Image.open(tmp_path / "o" / name)) for name in written if name != "sheet.png"]
        assert sum(int(np.abs(pixels - one).max() <= 1) for one in found) == 1
    assert _contents(folder) == before


def test_files_beside_images_have_names_of_their_own(command, tmp_path: Path) -> None:
    for name in ("a.png", "a_loss.png", "a.jpg"):
        images.save(tiny.photos(1)[0], tmp_path / "in" / name)
    assert command("invert", tmp_path / "in", "--steps", 0, "--output", tmp_path / "o")[0] == 0
    assert len(_contents(tmp_path / "o")) == 3 * 3 + 1


def test_strengths_written_alike(command, photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((8, 8)))
    arguments = ("--map", tmp_path / "m.npy", "--strength", "1,1.0000000001,2,1", "--output", tmp_path / "o")
    assert command("manipulate", photos / "p0.png", *arguments)[0] == 0
    names = ["p0_+1.png", "p0_+1_2.png", "p0_+1_3.png", "p0_+2.png", "sheet.png"]
    assert sorted(_contents(tmp_path / "o")) == names


# A machine under load draws slowly; what is drawn is small.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.text(st.sampled_from("aA_2é\u0301e-ß"), min_size=1, max_size=5), max_size=30),
    st.sampled_from([(".png",), (".png", "_2.png"), ("_000.png", "_001.png"), (".png", "_a.png", ".npz")]),
)
def test_names_never_meet(stems: list[str], endings: tuple[str, ...]) -> None:
    names = results.unique_names(stems, endings, ["a.png"])
    files = [results._key(name + ending) for name in names for ending in endings] + ["a.png"]
    assert len(set(files)) == len(files) == len(stems) * len(endings) + 1
    assert all(name.startswith(stem) for name, stem in zip(names, stems))


def test_a_first_name_stays_and_many_equal_ones_are_quick() -> None:
    assert results.unique_names(["p1", "p1", "p1_2", "sheet"], [".png"], ["sheet.png"]) == [
        "p1", "p1_3", "p1_2", "sheet_2",
    ]  # fmt: skip
    assert results.unique_names(["x"] * 20_000, [".png"])[-1] == "x_20000"


def test_long_names(command, tmp_path: Path) -> None:
    for index, stem in enumerate(("é" * 123 + "a", "é" * 123 + "b")):  # 247 bytes and the suffix
        images.save(tiny.photos(1, seed=index)[0], tmp_path / f"{index}.png")
        (tmp_path / f"{index}.png").rename(tmp_path / f"{stem}.png")
    status, _, line = command("reconstruct", tmp_path, "--output", tmp_path / "o")
    assert status == 0, line
    assert len(_contents(tmp_path / "o")) == 3
    single = tmp_path / f"{'x' * 246}.png"
    assert command("reconstruct", next(tmp_path.glob("*a.png")), "--output", single)[0] == 0
    assert single.exists()


def _photo(tmp_path: Path) -> Path:
    images.save(tiny.photos(1)[0], tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.mark.parametrize("way", ["same", "dots", "symlink", "hard link", "through a linked folder"])
def test_an_output_that_is_an_input_is_refused(command, tmp_path: Path, way: str) -> None:
    photo = _photo(tmp_path)
    output = tmp_path / "y.png"
    if way == "same":
        output = photo
    elif way == "dots":
        (tmp_path / "sub").mkdir()
        output = tmp_path / "sub" / ".." / "x.png"
    elif way == "symlink":
        output.symlink_to(photo)
    elif way == "hard link":
        os.link(photo, output)
    else:
        (tmp_path / "link").symlink_to(tmp_path)
        output = tmp_path / "link" / "x.png"
    before = photo.read_bytes()
    arguments = ("--original", photo, "--reference", photo, "--mask", "box:0,0,1,1", "--output", output)
    status, _, line = command("edit", *arguments)
    assert status == 1
    assert line == f"stylemap edit: error: {output} is an input: name another --output, or say --overwrite"
    assert photo.read_bytes() == before
    assert not list(tmp_path.glob("*_sheet.png"))
    assert command("edit", *arguments, "--overwrite", "--no-sheet")[0] == 0
    assert output.read_bytes() != before


def test_a_folder_onto_itself(command, folder: Path) -> None:
    before = _contents(folder)
    status, _, line = command("reconstruct", folder, "--output", folder)
    assert status == 1
    assert "is an input" in line
    status, _, line = command("reconstruct", folder, "--output", folder, "--overwrite")
    assert status == 1
    assert "is an input that other results need" in line  # p1.jpg would replace p1.png
    assert _contents(folder) == before


def test_a_folder_onto_itself_where_each_result_has_its_own_photo(command, tmp_path: Path) -> None:
    for index in range(3):
        images.save(tiny.photos(1, seed=index)[0], tmp_path / f"{index}.png")
    before = _contents(tmp_path)
    assert command("reconstruct", tmp_path, "--output", tmp_path, "--overwrite", "--no-sheet")[0] == 0
    after = _contents(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


def test_masks_models_and_sheets_are_inputs_too(
    command,
    model_file: str,
    photos: Path,
    mask_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = ("--original", photos / "p0.png", "--reference", photos / "p1.png")
    before = mask_file.read_bytes()
    _, _, line = command("edit", *pair, "--mask", mask_file, "--output", mask_file)
    assert "left.png is an input" in line
    assert mask_file.read_bytes() == before
    sheet = tmp_path / "out_sheet.png"
    images.save(tiny.photos(1)[0], sheet)
    _, _, line = command("reconstruct", sheet, "--output", tmp_path / "out.png")
    assert "out_sheet.png is an input" in line
    assert main(["convert", model_file, model_file]) == 1
    assert "is an input" in capsys.readouterr().err


def test_frames_are_saved_one_by_one(
    command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every frame is on the disk before the next is made, and is counted."""
    events: list[str] = []
    save = images.save

    def noted(function: object, word: str) -> object:
        def call(*arguments: object, **options: object) -> object:
            events.append(word)
            return function(*arguments, **options)  # type: ignore[operator]

        return call

    monkeypatch.setattr(results.images, "save", noted(save, "save"))
    monkeypatch.setattr(edit, "interpolate", noted(edit.interpolate, "make"))
    monkeypatch.setattr(EditSession, "edit", noted(EditSession.edit, "make"))
    common = ("--frames", 20, "--output", tmp_path / "o")
    assert command("interpolate", photos / "p0.png", photos / "p1.png", *common)[2] == "interpolate: 20/20"
    assert events == ["make", "save"] * 20 + ["save"]
    events.clear()
    pair = ("--original", photos / "p0.png", "--reference", photos / "p1.png", "--mask", "box:0,0,0.5,1")
    assert command("edit", *pair, *common)[2] == "edit: 20/20"
    # The last is the sheet; its unedited picture was decoded to compare it with the photo.
    assert events == ["make", "save"] * 20 + ["save"]
    assert len(list((tmp_path / "o").iterdir())) == 41


def test_a_sheet_of_many_frames_shows_some() -> None:
    from stylemap.cli import common

    assert common.shown_of(5) == [0, 1, 2, 3, 4]
    assert len(set(common.shown_of(17))) == 16
    shown = common.shown_of(500)
    assert (shown[0], shown[-1], len(set(shown))) == (0, 499, 16)
    assert common.thumbnail(torch.zeros(3, 1024, 512)).size == (256, 512)


@pytest.mark.skipif(os.name != "posix", reason="no locks of folders")
def test_two_commands_do_not_write_into_one_folder(
    command, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names of both would meet."""
    out = tmp_path / "o"
    with only_writer(out):
        status, _, line = command("reconstruct", folder, "--output", out)
        assert (status, line) == (1, f"stylemap reconstruct: error: another run is writing to {out}")
        assert main(["data", "faces", "--size", "32", "--count", "1", "--output", str(out)]) == 1
        assert f"another run is writing to {out}" in capsys.readouterr().err
        assert not list(out.iterdir())
        assert command("reconstruct", folder / "p1.jpg", "--output", out / "one.png")[0] == 0
    assert command("reconstruct", folder / "gone.jpg", "--output", out)[0] == 1
    assert command("reconstruct", folder, "--output", out)[0] == 0


def test_results_do_not_go_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["reconstruct", "a.png"], ["data", "faces"], ["export", "web"], ["bulk", "encode", "f"]):
        with pytest.raises(SystemExit) as stop:
            main([*words, "--output", "-"])
        assert stop.value.code == 2
        assert "results are files, not stdout" in capsys.readouterr().err
