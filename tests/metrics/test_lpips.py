"""LPIPS and its VGG-16: the published computation, and what is said about wrong files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from stylemap.metrics.lpips import load_lpips
from stylemap.metrics.vgg import load_vgg16, normalise
from stylemap.train import TrainConfig
from stylemap.train.features import make_features
from tests.metrics import feature_weights
from tests.train import tiny_run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return (
        feature_weights.save(feature_weights.vgg16(), folder / "vgg16.pth"),
        feature_weights.save(feature_weights.heads(), folder / "heads.pth"),
    )


def images(seed: int) -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def vgg_maps(x: Tensor, state: dict[str, Tensor]) -> list[Tensor]:
    """torchvision's vgg16.features up to relu5_3, position by position."""
    maps = []
    pools, ends = (4, 9, 16, 23), (3, 8, 15, 22, 29)
    for position in range(30):
        if f"features.{position}.weight" in state:
            x = F.conv2d(
                x, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1
            )
        elif position in pools:
            x = F.max_pool2d(x, 2, 2)
        else:
            x = F.relu(x)
        if position in ends:
            maps.append(x)
    return maps


def test_vgg16_maps(files: tuple[Path, Path]) -> None:
    x = images(0)
    expected = vgg_maps(x, feature_weights.vgg16())
    actual = load_vgg16(files[0])(x)
    assert [m.shape[1] for m in actual] == [64, 128, 256, 512, 512]
    for a, b in zip(actual, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(b.abs().max()))


def test_normalisation() -> None:
    white = normalise(torch.ones(1, 3, 1, 1)).flatten()
    assert white.tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_distance_is_the_published_one(files: tuple[Path, Path]) -> None:
    x, y = images(0), images(1)
    state, heads = feature_weights.vgg16(), feature_weights.heads()
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    expected = torch.zeros(2)
    for i, (a, b) in enumerate(zip(*(vgg_maps((v - shift) / scale, state) for v in (x, y)), strict=True)):
        a, b = (v / (v.norm(dim=1, keepdim=True) + 1e-10) for v in (a, b))
        weighted = F.conv2d((a - b) ** 2, heads[f"lin{i}.model.1.weight"])
        expected += weighted.mean((2, 3)).squeeze(1)
    distance = load_lpips(*files)
    assert torch.allclose(distance(x, y), expected, rtol=1e-5)
    assert distance(x, x).tolist() == [0, 0]


def test_gradients_are_finite_on_flat_images(files: tuple[Path, Path]) -> None:
    """Flat images leave feature vectors of length 0, where a square root has no slope."""
    x = torch.full((1, 3, 32, 32), -1.0, requires_grad=True)
    load_lpips(*files)(x, images(0)[:1]).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_one_file_with_both(files: tuple[Path, Path], tmp_path: Path) -> None:
    """As a saved lpips.LPIPS has them: the convolutions under net.sliceN, positions unchanged."""
    slices = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}
    state = feature_weights.heads()
    for key, value in feature_weights.vgg16().items():
        if key.startswith("features."):
            _, position, kind = key.split(".")
            state[f"net.slice{slices[int(position)]}.{position}.{kind}"] = value
    save_file(state, tmp_path / "lpips.safetensors")
    both = load_lpips(tmp_path / "lpips.safetensors")
    assert torch.equal(both(images(0), images(1)), load_lpips(*files)(images(0), images(1)))


def test_wrong_files_say_what_is_wanted(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.pth.*download\.pytorch\.org.*vgg16"):
        load_lpips(tmp_path / "missing.pth", files[1])
    with pytest.raises(ValueError, match=r"features\.0\.weight.*vgg16"):
        load_lpips(files[1], files[1])
    with pytest.raises(ValueError, match=r"lin0\.model\.1\.weight.*lpips_heads"):
        load_lpips(files[0])
    with pytest.raises(ValueError, match=r"lin0\.model\.1\.weight"):
        load_lpips(files[0], files[0])
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth is not a state dict"):
        load_lpips(tmp_path / "text.pth", files[1])
    narrow = feature_weights.vgg16() | {"features.2.weight": torch.zeros(8, 8, 3, 3)}
    with pytest.raises(ValueError, match=r"features\.2\.weight is \(8, 8, 3, 3\)"):
        load_vgg16(feature_weights.save(narrow, tmp_path / "narrow.pth"))


def test_training_takes_it(files: tuple[Path, Path]) -> None:
    config = tiny_run.config(perceptual=str(files[0]), lpips_heads=str(files[1]))
    features = make_features(config, tiny_run.CPU)
    assert features.distance is not None
    assert features.distance(images(0), images(1)).shape == (2,)


def test_style_loss_needs_the_network_alone(files: tuple[Path, Path]) -> None:
    config = TrainConfig(perceptual=str(files[0]), lambdas=tiny_run.lambdas(style=1.0))
    features = make_features(config, tiny_run.CPU)
    assert features.distance is None
    assert features.maps is not None
    assert len(features.maps(images(0))) == 5
