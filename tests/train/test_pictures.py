"""Pictures of a run: what they show, and that they tell the average from the networks being trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap.train import record, train
from stylemap.train.networks import Networks
from stylemap.train.pictures import Pictures
from stylemap.train.sources import open_source
from tests.train import tiny_run


class Board:
    """Stands for TensorBoard's writer."""

    def __init__(self) -> None:
        self.images: list[tuple[str, Any, int]] = []

    def add_image(self, name: str, image: Any, step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.images.append((name, image, step))


def drawn(folder: Path, change: float) -> tuple[Path, Board]:
    config = tiny_run.config()
    networks = Networks(config, tiny_run.CPU)
    with torch.no_grad():
        networks.generator.decoder.to_rgb.activate.bias.add_(change)
    board = Board()
    Pictures(networks, open_source(config), config, folder).draw(4, "4/6, 3 s left", board)
    return folder, board


def test_both_models_are_shown_while_they_differ(tmp_path: Path) -> None:
    same, _ = drawn(tmp_path / "same", 0.0)
    different, _ = drawn(tmp_path / "different", 0.5)
    for name, rows in (("reconstructions", (2, 3)), ("samples", (2, 4))):
        for folder, count in zip((same, different), rows, strict=True):
            assert Image.open(folder / name / "00000004.png").size == (8 * 16, count * 16)
    heights = [Image.open(folder / "dashboard" / "00000004.png").height for folder in (same, different)]
    assert heights[1] > heights[0]


def test_reconstructions_are_the_average_s(tmp_path: Path) -> None:
    folder, _ = drawn(tmp_path, 0.5)
    config = tiny_run.config()
    networks = Networks(config, tiny_run.CPU)
    real = open_source(config).batch([0])[0].float() / 127.5 - 1
    with torch.no_grad():
        w = networks.e_ema(real)
        expected = networks.g_ema.decoder(networks.g_ema.decoder.convs_latent(w))[0]
    grid = torch.from_numpy(np.array(Image.open(folder / "reconstructions" / "00000004.png")))
    found = grid[16:32, :16].permute(2, 0, 1).float() / 127.5 - 1
    assert torch.allclose(found, expected.clamp(-1, 1), atol=1 / 127)
    (line,) = record.read(folder / "metrics.jsonl")
    assert line["iteration"] == 4
    assert line["mse"] != line["mse_raw"]


def test_tensorboard_gets_the_dashboard(tmp_path: Path) -> None:
    folder, board = drawn(tmp_path, 0.0)
    ((name, image, step),) = board.images
    assert (name, step) == ("dashboard", 4)
    assert np.array_equal(image, np.asarray(Image.open(folder / "dashboard" / "00000004.png")))


def test_a_run_leaves_an_animation_and_metrics(tmp_path: Path) -> None:
    train(tiny_run.config(sample_every=2), tmp_path)
    animation = Image.open(tmp_path / "run.gif")
    assert getattr(animation, "n_frames", 1) == 3
    assert [line["iteration"] for line in record.read(tmp_path / "metrics.jsonl")] == [2, 4, 6]
    log = record.Record(tmp_path, 6, tiny_run.config(iterations=600, log_every=1))
    log.add(6, {"x_rec": 0.1})
    assert log.status(7).startswith("7/600, ")
    assert "56 images seen" in log.status(7)
    assert log.status(7).endswith(" left")
    log.close()


def test_without_pictures_there_is_no_animation(tmp_path: Path) -> None:
    train(tiny_run.config(iterations=2), tmp_path)
    assert not (tmp_path / "run.gif").exists()


@pytest.mark.parametrize("count", [1, 3])
def test_few_photos_are_enough(count: int, tmp_path: Path) -> None:
    config = tiny_run.config(count=count)
    networks = Networks(config, tiny_run.CPU)
    Pictures(networks, open_source(config), config, tmp_path).draw(2, "")
    assert Image.open(tmp_path / "reconstructions" / "00000002.png").width == count * 16
