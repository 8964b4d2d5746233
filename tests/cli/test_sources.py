"""mix and interpolate with random vectors: those of ``stylemap sample``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap import edit, images
from stylemap.cli import main
from tests.helpers import tiny


@pytest.fixture
def run(model_file: str) -> object:
    def call(*arguments: object) -> None:
        assert main([*map(str, arguments), "--model", model_file, "--device", "cpu"]) == 0

    return call


def _same(path: Path, expected: torch.Tensor | Path) -> bool:
    image = Image.open(expected) if isinstance(expected, Path) else images.to_image(expected)
    return bool(np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(image).astype(int)).max() <= 1)


def _w(seed: int, truncation: float = 0.7, index: int = 0) -> torch.Tensor:
    model = tiny.model()
    with torch.no_grad():
        mean = model.mean_stylemap()
        return mean + truncation * (model.map(edit.latents(model, index + 1, seed)[index:]) - mean)


def _photo(photos: Path, name: str) -> torch.Tensor:
    with torch.no_grad():
        return tiny.model().encode(images.load(photos / name, tiny.SIZE)[None])


def test_mix_two_random_vectors_at_a_layer(run, tmp_path: Path) -> None:
    run("mix", "--seeds", 1, 2, "--layer", 5, "--output", tmp_path, "--no-sheet")
    with torch.no_grad():
        expected = edit.mix_styles(tiny.model(), _w(1), _w(2), take=[5])
    assert _same(tmp_path / "seed1_seed2.png", expected)


def test_photos_and_seeds_in_any_combination(run, photos: Path, tmp_path: Path) -> None:
    run("mix", photos / "p0.png", "--seeds", 3, "--layer", 2, "--output", tmp_path / "a", "--no-sheet")
    run("mix", "seed:3", photos / "p0.png", "--layer", 2, "--output", tmp_path / "b", "--no-sheet")
    run("mix", photos, "seed:4/1", "--truncation", 1, "--output", tmp_path / "c")
    with torch.no_grad():
        photo, model = _photo(photos, "p0.png"), tiny.model()
        assert _same(tmp_path / "a" / "p0_seed3.png", edit.mix_styles(model, photo, _w(3), take="coarse"))
        assert _same(tmp_path / "b" / "seed3_p0.png", edit.mix_styles(model, _w(3), photo, take="coarse"))
        second = edit.mix_styles(model, _photo(photos, "p2.png"), _w(4, 1.0, 1), take="coarse")
    assert _same(tmp_path / "c" / "p2_seed4_1.png", second)
    assert len(list((tmp_path / "c").iterdir())) == 5


def test_interpolation_ends_are_the_samples_of_their_seeds(run, photos: Path, tmp_path: Path) -> None:
    run("interpolate", "--seeds", 1, "2/1", "--frames", 3, "--output", tmp_path / "a")
    for seed in (1, 2):
        run("sample", "--seed", seed, "--count", 2, "--output", tmp_path / str(seed), "--no-sheet")
    assert _same(tmp_path / "a" / "seed1_seed2_1_000.png", tmp_path / "1" / "sample_0000.png")
    assert _same(tmp_path / "a" / "seed1_seed2_1_002.png", tmp_path / "2" / "sample_0001.png")
    run("interpolate", photos / "p1.png", "--seeds", 1, "--frames", 3, "--output", tmp_path / "b")
    with torch.no_grad():
        expected = edit.interpolate(tiny.model(), _photo(photos, "p1.png"), _w(1), 0.5)
    assert _same(tmp_path / "b" / "p1_seed1_001.png", expected)


def test_a_file_called_like_a_seed_is_a_file(
    run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed:1").write_bytes((photos / "p0.png").read_bytes())
    run("interpolate", "seed:1", photos / "p0.png", "--frames", 2, "--output", "o", "--no-sheet")
    assert _same(tmp_path / "o" / "seed:1_p0_000.png", tiny.model().decode(_photo(photos, "p0.png")).detach())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "two are needed, A and B, photos or --seeds in any combination; got none"),
        (["--seeds", "1"], "got seed:1"),
        (["seed:1", "seed:2", "--seeds", "3"], "got seed:1 seed:2 seed:3"),
        (["--seeds", "1", "photo"], "seed:photo: expected a seed"),
        (["--seeds", "1", "1/2/3"], "seed:1/2/3: expected a seed"),
        (["--seeds", "1", "9" * 30], "expected a seed"),
        (["seed:1", "missing.png"], "no such file or folder: missing.png"),
        (["--seeds", "1", "2", "--layer", "0"], "--layer must be from 1 to 5"),
        (["--seeds", "1", "2", "--layer", "6"], "--layer must be from 1 to 5"),
    ],
)
def test_refusals(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:  # fmt: skip
    assert main(["mix", *arguments, "--output", str(tmp_path / "o"), "--model", model_file]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.rglob("*.png"))
