"""The command manipulate with a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stylemap
from stylemap import assets, edit, images
from stylemap.cli import main
from tests.helpers import tiny

SIZE, CELLS = tiny.SIZE, tiny.CELLS


def _manipulate(model_file: str, *arguments: object) -> int:
    return main(["manipulate", *map(str, arguments), "--model", model_file, "--device", "cpu"])


def _expected(photos: Path, map: torch.Tensor, strength: float) -> np.ndarray:
    with torch.no_grad():
        w = tiny.model().encode(images.load(photos / "p0.png", SIZE)[None])
        return np.asarray(images.to_image(tiny.model().decode(edit.modulate_map(w, map, strength)))).astype(
            int
        )


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_an_image_as_a_map(model_file: str, photos: Path, tmp_path: Path) -> None:
    grey = np.full((SIZE, SIZE), 255, np.uint8)
    grey[:, : SIZE // 2] = 51
    Image.fromarray(grey).save(tmp_path / "map.png")
    output = tmp_path / "o"
    arguments = [photos / "p0.png", "--map", tmp_path / "map.png", "--strength=-1,0,1", "--output", output]
    assert _manipulate(model_file, *arguments) == 0
    painted = torch.ones(SIZE, SIZE)
    painted[:, : SIZE // 2] = 0.2
    for strength, name in ((-1, "-1"), (0, "+0"), (1, "+1")):
        assert np.abs(_read(output / f"p0_{name}.png") - _expected(photos, painted, strength)).max() <= 1
    assert np.abs(_read(output / "p0_+1.png") - _read(output / "p0_+0.png")).max() > 2


def test_an_array_as_a_map_with_the_default_strength(model_file: str, photos: Path, tmp_path: Path) -> None:
    map = torch.rand(tiny.CHANNELS, CELLS, CELLS, generator=torch.Generator().manual_seed(0)) * 2
    np.save(tmp_path / "map.npy", map.numpy())
    output = tmp_path / "a.png"
    arguments = [photos / "p0.png", "--map", tmp_path / "map.npy", "--output", output, "--no-sheet"]
    assert _manipulate(model_file, *arguments) == 0
    assert np.abs(_read(output) - _expected(photos, map, 1)).max() <= 1


def test_refusals(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    def line(*arguments: object) -> str:
        assert _manipulate(model_file, photos / "p0.png", "--output", tmp_path / "o", *arguments) == 1
        return capsys.readouterr().err.splitlines()[-1]

    Image.new("L", (40, 20)).save(tmp_path / "map.png")
    assert "map.png is 40 x 20; it must be 32 x 32" in line("--map", tmp_path / "map.png")
    np.save(tmp_path / "map.npy", np.ones((3, 3)))
    assert "map.npy: a map must be 8 x 8 x 8" in line("--map", tmp_path / "map.npy")
    assert "map.npy has no scale of its own: it needs --strength" in line("--direction", tmp_path / "map.npy")
    with pytest.raises(SystemExit):
        _manipulate(model_file, photos / "p0.png", "--output", tmp_path / "o")
    with pytest.raises(SystemExit):
        _manipulate(model_file, photos / "p0.png", "--output", "o", "--map", "a.npy", "--direction", "b.npz")


def _demo_faces(folder: Path) -> Path:
    size = stylemap.load().config.size
    stylemap.demo_faces(1, size=size)[0].save(folder / "face.png")
    return folder / "face.png"


def test_a_bundled_direction_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face, model = _demo_faces(tmp_path), stylemap.load()
    assert main(["manipulate", str(face), "--direction", "smile", "-o", str(tmp_path / "a.png")]) == 0
    one = edit.find_direction("smile")
    with torch.no_grad():
        moved = model.decode(edit.manipulate(model.encode(face), one.vector, one.step))
    assert np.abs(_read(tmp_path / "a.png") - np.asarray(images.to_image(moved)).astype(int)).max() <= 2
    bundled = assets.demo_directions()
    more = ["--direction", f"{bundled}:smile", "--strength", "-1,0,1", "-o", str(tmp_path / "o")]
    assert main(["manipulate", str(face), *more, "--model", "demo"]) == 0
    assert np.abs(_read(tmp_path / "a.png") - _read(tmp_path / "o" / "face_+1.png")).max() == 0
    assert main(["manipulate", str(face), "--direction", "smlie", "-o", str(tmp_path / "b.png")]) == 1
    assert "no direction 'smlie', but " in (told := capsys.readouterr().err)
    assert "did you mean smile?" in told


def test_a_bundled_direction_is_of_the_bundled_model(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--direction", "smile", "--output", tmp_path / "o"]
    assert _manipulate(model_file, photos / "p0.png", *arguments) == 1
    assert "the direction 'smile' is one of the bundled model's" in capsys.readouterr().err


def test_directions_that_the_command_writes(model_file: str, photos: Path, tmp_path: Path) -> None:
    directions = {"smile": edit.NamedDirection(torch.ones(tiny.CONFIG.stylemap_shape), 2.5)}
    edit.save_directions(directions | {"hat": directions["smile"]}, tmp_path / "d.safetensors")
    arguments = [
        "--direction",
        f"{tmp_path / 'd.safetensors'}:hat",
        "--strength",
        "-2",
        "-o",
        tmp_path / "a.png",
    ]
    assert _manipulate(model_file, photos / "p0.png", *arguments) == 0
    with torch.no_grad():
        w = tiny.model().encode(photos / "p0.png")
        moved = tiny.model().decode(edit.manipulate(w, directions["smile"].vector, -5.0))
    assert np.abs(_read(tmp_path / "a.png") - np.asarray(images.to_image(moved)).astype(int)).max() <= 1
