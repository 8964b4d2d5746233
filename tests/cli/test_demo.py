"""The demonstration, with a tiny model in place of the full-size one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import stylemap
from stylemap import checkpoint, edit
from stylemap.cli import demo, demo_faces
from tests.helpers import tiny


def test_with_named_photos_and_a_model(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [str(photos / "p0.png"), str(photos / "p1.png")]
    assert demo.main(["--images", *chosen, "--model", model_file, "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"the picture is {tmp_path / 'demo.png'}" in told
    assert "ms per photo; edit:" in told
    assert "in an EditSession, from what it has cached:" in told
    assert "untrained" not in told
    assert Image.open(tmp_path / "demo.png").width > 4 * 160


def test_untrained_checkpoint_is_made_once_and_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stylemap, "Config", lambda: tiny.CONFIG)
    monkeypatch.setattr("stylemap.assets.FOLDER", tmp_path)
    monkeypatch.setattr(demo, "_PHOTO_FOLDERS", ())
    monkeypatch.delenv("IMAGES", raising=False)
    folder = tmp_path / "demo"
    assert demo.main(["--folder", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "writing a full-size checkpoint" in told
    assert "These weights are untrained" in told
    assert sorted(path.name for path in folder.iterdir()) == ["demo.png", "untrained_256_8x8.pt"]
    assert demo.main(["--folder", str(folder)]) == 0
    assert "writing a full-size checkpoint" not in capsys.readouterr().out


def test_generated_faces_with_the_demo_model(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    checkpoint.save_safetensors(tiny.model(), assets / "demo.safetensors")
    shape = tiny.CONFIG.stylemap_shape
    names = {name for name, _, _ in demo_faces.MOVES}
    directions = {name: edit.NamedDirection(torch.ones(shape), 1.0) for name in names}
    edit.save_directions(directions, assets / "demo_directions.safetensors")
    monkeypatch.setattr("stylemap.assets.FOLDER", assets)
    monkeypatch.delenv("IMAGES", raising=False)
    assert demo.main(["--folder", str(tmp_path)]) == 0
    assert "untrained" not in capsys.readouterr().out
    assert Image.open(tmp_path / "demo.png").height > 4 * 256
    chosen = [str(photos / "p0.png"), str(photos / "p1.png")]
    assert demo.main(["--images", *chosen, "--folder", str(tmp_path)]) == 0
    assert "knows drawn faces alone" in capsys.readouterr().out


def test_a_part_mask_holds_the_part_of_both_faces() -> None:
    faces = demo_faces.DemoFaces(128)
    mask = faces.mask("mouth")
    assert mask.shape == (128, 128)
    assert 0.005 < mask.float().mean() < 0.1
    assert mask[80:110, 50:78].any()


def test_photos_from_the_environment(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", f"'{photos}/p2.png' {photos}/p3.png")
    names, tensors = demo._photos(None, tiny.SIZE)
    assert names == ["p2.png", "p3.png"]
    assert tensors.shape == (2, 3, tiny.SIZE, tiny.SIZE)


def test_photos_from_a_folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGES", raising=False)
    (tmp_path / "images" / "empty").mkdir(parents=True)
    (tmp_path / "images" / "set").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    assert demo._photos(None, tiny.SIZE)[0] == ["p0.png", "p1.png"]


def test_bad_input_is_one_line(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGES", "one.png")
    assert demo.main(["--model", model_file, "--folder", str(tmp_path)]) == 1
    assert "IMAGES must name two photos" in capsys.readouterr().err
    monkeypatch.setenv("IMAGES", "one.png two.png")
    assert demo.main(["--model", model_file, "--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "demo: error: one.png: No such file or directory\n"
