"""EfficientNet-Lite0: its definition, its weights, the distance made of its features."""

from __future__ import annotations

import pytest
import torch

from stylemap.metrics import efficientnet
from stylemap.metrics.efficientnet import (
    HEAD,
    STEM,
    EfficientNetDistance,
    EfficientNetLite0,
    load_efficientnet,
)
from stylemap.metrics.weights import read_tensors
from tests.helpers import needs


def test_resolutions_and_channels_of_all_blocks() -> None:
    found = EfficientNetLite0(range(STEM, HEAD + 1))(torch.zeros(1, 3, 64, 64))
    assert [maps.shape[1] for maps in found] == [efficientnet.channels(b) for b in range(STEM, HEAD + 1)]
    assert [maps.shape[2] for maps in found] == [32] * 2 + [16] * 2 + [8] * 2 + [4] * 6 + [2] * 6


def test_odd_sizes_halve_upwards() -> None:
    (maps,) = EfficientNetLite0([2])(torch.zeros(1, 3, 37, 50))
    assert maps.shape[2:] == (10, 13)


@pytest.mark.parametrize("blocks", [[], [3, 3], [4, 2], [-2], [17]])
def test_wrong_blocks_are_refused(blocks: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        EfficientNetLite0(blocks)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"stylemap\[features\]"):
        load_efficientnet([0])


def test_another_networks_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mine\.pth is no EfficientNet-Lite0"):
        EfficientNetLite0([0]).load({"conv.weight": torch.zeros(1)}, "mine.pth")


@pytest.mark.parametrize(("photo", "names"), [("china.jpg", {663, 698}), ("flower.jpg", {985, 309, 723})])
def test_the_package_holds_a_classifier_of_photos(photo: str, names: set[int]) -> None:
    """Preprocessing and padding are right where photos are recognised among 1,000 classes: a monastery or
    palace; a daisy, bee or pinwheel (there is no dahlia)."""
    datasets = needs.package("sklearn.datasets")
    pixels = torch.from_numpy(datasets.load_sample_image(photo).copy()[:, 100:527])
    images = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
    images = torch.nn.functional.interpolate(images, size=(224, 224), mode="bilinear", antialias=True)
    state = read_tensors(efficientnet.weights_file(), "")
    features = load_efficientnet([HEAD])(images)[0].mean((2, 3))
    logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert int(logits.argmax()) in names


def test_the_distance_is_zero_for_equal_images_and_reaches_only_the_first_argument() -> None:
    generator = torch.Generator().manual_seed(0)
    images, targets = (torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    distance = EfficientNetDistance().calibrate(targets)
    assert torch.equal(distance(images, images), torch.zeros(4))
    images.requires_grad_(True)
    values = distance(images, targets)
    assert values.shape == (4,)
    assert (values > 0.1).all()
    values.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in distance.parameters())
