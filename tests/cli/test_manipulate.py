"""The command manipulate with a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap import edit, images
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
    assert "--direction needs --strength" in line("--direction", tmp_path / "map.npy")
    with pytest.raises(SystemExit):
        _manipulate(model_file, photos / "p0.png", "--output", tmp_path / "o")
    with pytest.raises(SystemExit):
        _manipulate(model_file, photos / "p0.png", "--output", "o", "--map", "a.npy", "--direction", "b.npz")
