"""The demonstration, with a tiny model in place of the full-size one."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import stylemap
from stylemap.cli import demo
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
    monkeypatch.setattr("stylemap.cli.common.ASSETS", tmp_path)
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
