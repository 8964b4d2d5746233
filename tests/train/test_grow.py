"""Starting from a trained model, of the same size or smaller."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap.checkpoint import CheckpointError
from stylemap.config import Config
from stylemap.train import checkpoints, train
from stylemap.train.grow import start_from
from stylemap.train.networks import Networks
from stylemap.train.projected import ProjectedCritic
from tests.train import tiny_run


def larger(**changes: object) -> Config:
    values = tiny_run.MODEL.to_dict() | {"size": 32, "channel_table": {"4": 8, "8": 8, "16": 8, "32": 6}}
    return Config.from_dict(values | changes)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    train(tiny_run.config(iterations=2), tmp_path / "small")
    return tmp_path / "small"


def test_same_size_takes_everything(small: Path) -> None:
    (file,) = checkpoints.found(small / "checkpoints")
    old, new = Networks(tiny_run.config(), tiny_run.CPU), Networks(tiny_run.config(seed=3), tiny_run.CPU)
    checkpoints.load(file, old, tiny_run.config())
    start_from(file, new, 16)
    z = tiny_run.part(2).z
    assert torch.equal(new.generator(z), old.g_ema(z))
    assert torch.equal(new.g_ema(z), old.g_ema(z))
    images = tiny_run.part(4).images
    assert torch.equal(new.encoder(images), old.e_ema(images))
    assert torch.equal(new.discriminator(images), old.discriminator(images))


def test_a_larger_model_takes_the_layers_of_the_same_resolutions(small: Path) -> None:
    (file,) = checkpoints.found(small / "checkpoints")
    old = Networks(tiny_run.config(), tiny_run.CPU)
    checkpoints.load(file, old, tiny_run.config())
    new = Networks(tiny_run.config(model=larger()), tiny_run.CPU)
    before = {key: value.clone() for key, value in new.generator.state_dict().items()}
    start_from(file, new, 32)

    # The decoder up to 16 x 16: the same stylecodes, and the same feature maps before to_rgb.
    w = old.g_ema.mapping_z(tiny_run.part(2).z)
    codes = old.g_ema.decoder.convs_latent(w)
    for a, b in zip(new.generator.decoder.convs_latent(w), codes, strict=False):
        assert torch.equal(a, b)
    after = new.generator.state_dict()
    assert torch.equal(
        after["decoder.convs.1.conv2.conv.weight"], old.g_ema.decoder.convs[1].conv2.conv.weight
    )
    for key in ("decoder.convs.2.conv1.conv.weight", "decoder.to_rgb.conv.weight"):
        assert torch.equal(after[key], before[key]), key

    # Encoder and discriminator from 16 x 16 on: the same from the same feature map.
    features = torch.randn(2, 8, 16, 16)
    assert torch.equal(new.encoder.convs[1:](features), old.e_ema.convs(features))
    assert torch.equal(new.discriminator.convs[2:](features), old.discriminator.convs[1:](features))


def test_a_run_starts_from_the_folder_of_another(small: Path, tmp_path: Path) -> None:
    config = tiny_run.config(model=larger(), start_from=str(small), iterations=2)
    last = train(config, tmp_path / "large")
    assert checkpoints.found(tmp_path / "large" / "checkpoints") == [last]
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        train(tiny_run.config(start_from=str(tmp_path)), tmp_path / "other")


def test_what_does_not_fit_is_named(small: Path, tmp_path: Path) -> None:
    (file,) = checkpoints.found(small / "checkpoints")
    wider = larger(channel_table={"4": 8, "8": 8, "16": 16, "32": 6})
    with pytest.raises(ValueError, match=r"00000002\.pt: decoder\..* is \("):
        start_from(file, Networks(tiny_run.config(model=wider), tiny_run.CPU), 32)
    with pytest.raises(ValueError, match="larger than 8 x 8"):
        start_from(file, Networks(tiny_run.config(), tiny_run.CPU), 8)
    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(CheckpointError, match=r"text\.pt"):
        start_from(tmp_path / "text.pt", Networks(tiny_run.config(), tiny_run.CPU), 16)


def test_a_projected_discriminator_keeps_its_heads(tmp_path: Path) -> None:
    config = tiny_run.config(iterations=1, discriminator="projected", adversarial_loss="hinge")
    train(config, tmp_path / "run")
    (file,) = checkpoints.found(tmp_path / "run/checkpoints")
    new = Networks(tiny_run.config(seed=3, discriminator="projected", adversarial_loss="hinge"), tiny_run.CPU)
    start_from(file, new, 16)
    saved = checkpoints.projected_discriminator(file)
    assert saved is not None
    assert isinstance(new.critic, ProjectedCritic)
    for key, value in new.critic.heads.state_dict().items():
        assert torch.equal(value, saved[f"heads.{key}"]), key


def test_a_run_with_another_discriminator_starts_the_heads_afresh(small: Path) -> None:
    (file,) = checkpoints.found(small / "checkpoints")
    assert checkpoints.projected_discriminator(file) is None
    start_from(file, Networks(tiny_run.config(discriminator="projected"), tiny_run.CPU), 16)
