"""Which kind of file a result becomes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap import edit, images, video
from stylemap.cli import main
from tests.helpers import needs, tiny


def _strip(photos: Path, *arguments: object) -> list[str]:
    pair = ["--original", photos / "p0.png", "--reference", photos / "p1.png", "--mask", "box:0,0,0.5,1"]
    return list(map(str, ["edit", *pair, "--frames", 4, *arguments]))


def _expected(photos: Path) -> list[np.ndarray]:
    with torch.no_grad():
        w = tiny.model().encode([photos / "p0.png", photos / "p1.png"])
        frames = edit.blend(tiny.model(), w[:1], [w[1:]], ["box:0,0,0.5,1"], weights=edit.frame_weights(4))
    return [_light(images.to_image(frame)) for frame in frames]


def _light(picture: Image.Image) -> np.ndarray:
    """The lightness, which all kinds keep at full resolution."""
    return np.asarray(picture.convert("RGB").convert("L")).astype(int)


@pytest.mark.parametrize(
    ("suffix", "limit"), [(".gif", 8), (".webp", 8), (".tiff", 0.1), (".mp4", 8), (".webm", 8)]
)
def test_a_strip_as_one_file(
    model_file: str, photos: Path, tmp_path: Path, suffix: str, limit: float
) -> None:
    if suffix in video.VIDEO_SUFFIXES:
        needs.package("av")
    path = tmp_path / f"x{suffix}"
    assert main([*_strip(photos, "-o", path, "--fps", 5), "--model", model_file]) == 0
    assert sorted(os.listdir(tmp_path)) == [path.name, "x_sheet.png"]
    if suffix in video.VIDEO_SUFFIXES:
        found = [_light(frame) for frame, _ in video.Clip(path)]
    else:
        picture, found = Image.open(path), []
        for index in range(picture.n_frames):
            picture.seek(index)
            found.append(_light(picture))
            assert suffix == ".tiff" or picture.info["duration"] == 200
    expected = _expected(photos)
    assert len(found) == 4
    assert max(np.abs(a - b).mean() for a, b in zip(found, expected)) < limit


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif"])
def test_one_image_of_every_kind(model_file: str, photos: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    assert (
        main(["reconstruct", str(photos / "p0.png"), "--model", model_file, "-o", str(path), "--no-sheet"])
        == 0
    )
    with torch.no_grad():
        expected = images.to_image(edit.reconstruct(tiny.model(), photos / "p0.png"))
    picture = Image.open(path)
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    assert picture.format == kind
    assert np.abs(_light(picture) - _light(expected)).mean() < 8


def test_commands_with_several_images_write_one_file(model_file: str, photos: Path, tmp_path: Path) -> None:
    for name, arguments in (
        ("sample", ["--count", "3"]),
        ("interpolate", [photos / "p0.png", photos / "p1.png", "--frames", "3"]),
        ("reconstruct", [photos / "p0.png", photos / "p1.png", photos / "p2.png"]),
    ):
        path = tmp_path / f"{name}.gif"
        assert main([name, *map(str, arguments), "--model", model_file, "-o", str(path), "--no-sheet"]) == 0
        assert Image.open(path).n_frames == 3
    assert sorted(os.listdir(tmp_path)) == ["interpolate.gif", "reconstruct.gif", "sample.gif"]


@pytest.mark.parametrize("name", ["x.bmp", "x.heic", "x.mp3", "x.json", "x.flv", "X.PDF"])
def test_other_kinds_are_refused_by_name(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / name
    assert main(["reconstruct", str(photos), "--model", model_file, "-o", str(path)]) == 1
    suffix = path.suffix.lower()
    assert (
        f"{name}: {suffix} is not written; name a folder, or a file that ends in .gif, "
        in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == []


def test_several_images_and_one_picture(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(photos), "--model", model_file, "-o", str(tmp_path / "x.jpg")]) == 1
    assert "4 images cannot go into one file" in capsys.readouterr().err
    assert (
        main(["reconstruct", str(photos), "--model", model_file, "-o", str(tmp_path / "x"), "--fps", "3"])
        == 1
    )
    assert "--fps is of moving pictures" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["results.v2", "run_0.5", "x.mp4.d"])
def test_folders_with_a_point_in_their_name(model_file: str, photos: Path, tmp_path: Path, name: str) -> None:
    arguments = ["reconstruct", str(photos / "p0.png"), "--model", model_file, "--no-sheet"]
    assert main([*arguments, "-o", str(tmp_path / name)]) == 0
    assert os.listdir(tmp_path / name) == ["p0.png"]


def test_a_folder_that_is_there_stays_one(model_file: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").mkdir()
    arguments = ["reconstruct", str(photos / "p0.png"), "--model", model_file, "--no-sheet"]
    assert main([*arguments, "-o", str(tmp_path / "x.mp4")]) == 0
    assert os.listdir(tmp_path / "x.mp4") == ["p0.png"]


def test_nothing_is_left_of_a_film_that_fails(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((photos / "p0.png").read_bytes())
    (tmp_path / "in" / "b.png").write_text("no picture")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.gif").write_text("before")
    path = tmp_path / "out" / "x.gif"
    assert main(["reconstruct", str(tmp_path / "in"), "--model", model_file, "-o", str(path)]) == 1
    assert "b.png is not" in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == ["x.gif"]
    assert path.read_text() == "before"


def test_a_gif_of_one_frame_is_a_photo(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(name: str) -> int:
        out = str(tmp_path / "out.png")
        return main(["reconstruct", str(tmp_path / name), "-o", out, "--model", model_file])

    images.to_image(tiny.photos(1)[0]).save(tmp_path / "still.gif")
    assert status("still.gif") == 0
    whole = (tmp_path / "still.gif").read_bytes()
    (tmp_path / "half.gif").write_bytes(whole[: len(whole) * 4 // 5])
    (tmp_path / "none.gif").write_text("no picture")
    capsys.readouterr()
    assert status("half.gif") == 1
    assert "half.gif is damaged or incomplete" in capsys.readouterr().err
    assert status("none.gif") == 1
