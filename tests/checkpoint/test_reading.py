"""load and load_state on files as they should be."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylemap.checkpoint import load, load_state, save_published, save_safetensors
from stylemap.config import Config
from stylemap.model import StyleMapGAN
from tests.helpers import goldens, small

SAVERS = {"pt": save_published, "safetensors": save_safetensors}


def same_state(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left)


def published(model: StyleMapGAN, **changes: Any) -> dict[str, Any]:
    """The content of a published file, its EMA weights unlike those being trained."""
    content = {
        "generator": {key: torch.zeros_like(t) for key, t in model.generator.state_dict().items()},
        "discriminator": small.discriminator().state_dict(),
        "encoder": {key: torch.zeros_like(t) for key, t in model.encoder.state_dict().items()},
        "g_ema": model.generator.state_dict(),
        "e_ema": model.encoder.state_dict(),
        "train_args": argparse.Namespace(**vars(model.config.to_namespace()), dataset="celeba_hq", batch=16),
        "g_optim": {"state": {0: {"step": 7, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.002}]},
    }
    return {**content, **changes}


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("norm", ["LayerNorm", "BatchNorm2d"])
def test_model_comes_back(tmp_path: Path, kind: str, norm: str) -> None:
    model = small.model(normalize_mode=norm)
    SAVERS[kind](model, tmp_path / f"a.{kind}")
    loaded = load(tmp_path / f"a.{kind}")
    assert loaded.config == model.config
    assert same_state(loaded, model)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.equal(loaded(image), model(image))


def test_averaged_weights_are_used(tmp_path: Path) -> None:
    model = small.model()
    torch.save(published(model), tmp_path / "a.pt")
    assert same_state(load(tmp_path / "a.pt"), model)


def test_parameters_in_state_dicts(tmp_path: Path) -> None:
    model = small.model()
    parameters = {key: nn.Parameter(t) for key, t in model.generator.state_dict().items()}
    torch.save(published(model, g_ema=parameters), tmp_path / "a.pt")
    assert same_state(load(tmp_path / "a.pt"), model)


def test_without_zip(tmp_path: Path) -> None:
    """torch.save before 1.6 wrote no zip."""
    model = small.model()
    torch.save(published(model), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert same_state(load(tmp_path / "a.pt"), model)


def test_missing_training_arguments_take_defaults(tmp_path: Path) -> None:
    config = goldens.config("full_32_8x8")
    model = goldens.model("full_32_8x8")
    save_published(model, tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=False)
    content["train_args"] = argparse.Namespace(size=32, latent_channel_size=64)
    torch.save(content, tmp_path / "b.pt")
    assert load(tmp_path / "b.pt").config == config == Config(size=32)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    model = small.model()
    save_safetensors(model, tmp_path / "a.safetensors")
    os.rename(tmp_path / "a.safetensors", tmp_path / "a.bin")
    assert same_state(load(tmp_path / "a.bin"), model)
    save_published(model, tmp_path / "b")
    assert same_state(load(tmp_path / "b"), model)


@pytest.mark.parametrize("kind", SAVERS)
def test_half_precision_files(tmp_path: Path, kind: str) -> None:
    model = small.model().half()
    SAVERS[kind](model, tmp_path / f"a.{kind}")
    assert {p.dtype for p in load(tmp_path / f"a.{kind}").parameters()} == {torch.float32}
    assert same_state(load(tmp_path / f"a.{kind}", dtype=torch.float16), model)
    assert same_state(load(tmp_path / f"a.{kind}"), model.float())


@pytest.mark.parametrize("kind", SAVERS)
def test_loaded_model_does_not_depend_on_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    model = small.model()
    SAVERS[kind](model, path)
    loaded = load(path)
    path.write_bytes(b"")  # what is still mapped from here would crash the process
    assert same_state(loaded, model)


def test_load_state_has_every_part(tmp_path: Path) -> None:
    model = small.model()
    torch.save(published(model), tmp_path / "a.pt")
    state = load_state(tmp_path / "a.pt")
    assert state.config == model.config
    assert state.train_args["dataset"] == "celeba_hq"
    assert state.optimizers["g_optim"]["state"][0]["step"] == 7
    assert state.raw_generator is not None
    assert state.raw_encoder is not None
    assert state.discriminator is not None
    expected: list[tuple[Any, dict[str, Tensor]]] = [
        (state.generator, model.generator.state_dict()),
        (state.encoder, model.encoder.state_dict()),
        (state.discriminator, small.discriminator().state_dict()),
    ]
    for part, tensors in expected:
        assert all(torch.equal(part[key], tensors[key]) for key in tensors)
    assert not any(t.any() for t in state.raw_generator.values())


def test_dtype_must_be_floating(tmp_path: Path) -> None:
    save_published(small.model(), tmp_path / "a.pt")
    with pytest.raises(TypeError, match=r"floating-point dtype, got torch\.int8"):
        load(tmp_path / "a.pt", dtype=torch.int8)
