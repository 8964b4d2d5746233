"""Readable files whose content is not that of the networks: the error names what is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap.checkpoint import CheckpointError, load, save_published, save_safetensors
from tests.helpers import small
from tests.helpers.refusal import refused, safetensors_header, saved

Content = dict[str, Any]


def with_tensor(content: Content, part: str, key: str, tensor: Tensor) -> Content:
    return {**content, part: {**content[part], key: tensor}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds no checkpoint but an object of type list"),
        ({"state_dict": {}}, "no g_ema, the averaged weights that editing uses; it holds state_dict"),
        ({"g_ema": [1], "e_ema": {}}, "g_ema is a list, not a state dict"),
        ({"g_ema": {"a": 1}, "e_ema": {}}, "g_ema: a is a int, not a tensor"),
        ({"g_ema": {3: torch.ones(1)}, "e_ema": {}}, "g_ema: 3 is a Tensor, not a tensor"),
        ({"train_args": [256]}, "train_args is a list, neither Namespace nor dict"),
        ({"train_args": argparse.Namespace(size=10**9)}, "train_args: size must be a whole number from 1"),
        ({"train_args": argparse.Namespace(size=300)}, "train_args: size must be a power of two"),
        ({"train_args": argparse.Namespace(size="x" * 10**6)}, "train_args: size must be a whole number"),
        ({"train_args": argparse.Namespace(mapping_layer_num=10**9)}, "train_args: mapping_layer_num must"),
        ({"train_args": argparse.Namespace(channel_table={"8": 10**9})}, "train_args: channel_table[8]"),
        ({"train_args": argparse.Namespace(normalize_mode=[])}, "train_args: normalize_mode must be one of"),
    ],
    ids=range(12),
)
def test_wrong_content(tmp_path: Path, value: object, message: str) -> None:
    assert message in refused(saved(tmp_path / "a.pt", value))


def test_wrong_keys(tmp_path: Path, content: Content) -> None:
    part = dict(content["g_ema"])
    del part["decoder.conv1.conv.weight"]
    message = refused(saved(tmp_path / "a.pt", {**content, "g_ema": part}))
    assert message == "generator: missing key decoder.conv1.conv.weight"
    part = {**content["e_ema"], "extra\n" * 99: torch.ones(1), "more": torch.ones(1)}
    message = refused(saved(tmp_path / "b.pt", {**content, "e_ema": part}))
    assert message.startswith("encoder: unexpected key 'extra\\nextra")
    assert message.endswith("and 1 more")


@pytest.mark.parametrize("shape", [(6, 16, 3), (6, 16, 3, 5), (10**6, 10**6, 3, 3), ()])
def test_wrong_shapes(tmp_path: Path, content: Content, shape: tuple[int, ...]) -> None:
    """The huge one repeats one stored number: a file of any size can claim it."""
    hostile = with_tensor(content, "e_ema", "final_conv.0.weight", torch.zeros(()).expand(shape))
    text = "×".join(map(str, shape)) or "scalar"
    expected = f"encoder: final_conv.0.weight has shape {text}, expected 6×16×3×3"
    assert refused(saved(tmp_path / "a.pt", hostile)) == expected


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64, torch.bool])
def test_wrong_dtypes(tmp_path: Path, content: Content, dtype: torch.dtype) -> None:
    hostile = with_tensor(content, "e_ema", "final_conv.1.bias", torch.zeros(6, dtype=dtype))
    message = refused(saved(tmp_path / "a.pt", hostile))
    assert "final_conv.1.bias" in message or "torch.ComplexFloatStorage" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_values_that_are_not_finite(tmp_path: Path, kind: str, value: float) -> None:
    model = small.model()
    model.encoder.state_dict()["convs.0.conv1.0.weight"][3, 1, 0, 2] = value
    path = tmp_path / f"a.{kind}"
    (save_published if kind == "pt" else save_safetensors)(model, path)
    assert refused(path) == "encoder: convs.0.conv1.0.weight has values that are NaN or infinite"


def test_values_too_large_for_half_precision(tmp_path: Path) -> None:
    model = small.model()
    model.encoder.state_dict()["final_conv.1.bias"][0] = 1e6
    save_published(model, tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError, match=r"encoder: final_conv\.1\.bias has values too large for float16"
    ):
        load(tmp_path / "a.pt", dtype=torch.float16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 32}, "stated size = 32, the weights have size = 16"),
        ({"latent_spatial_size": 8}, "stated latent_spatial_size = 8, the weights have"),
        ({"normalize_mode": "BatchNorm2d"}, "stated normalize_mode = BatchNorm2d, the weights have"),
        (
            {"small_generator": True},
            "stated small_generator = True, the weights have small_generator = False",
        ),
        ({"mapping_layer_num": 5}, "stated mapping_layer_num = 5, the weights have mapping_layer_num = 2"),
        (
            {"latent_channel_size": 8},
            "stated latent_channel_size = 8, the weights have latent_channel_size = 6",
        ),
    ],
)
def test_arguments_that_contradict_the_weights(
    tmp_path: Path, content: Content, changes: dict[str, Any], said: str
) -> None:
    arguments = argparse.Namespace(**{**vars(content["train_args"]), **changes})
    message = refused(saved(tmp_path / "a.pt", {**content, "train_args": arguments}))
    assert message.startswith(f"its configuration contradicts its weights: {said}")


def test_missing_argument_beside_one_that_the_weights_contradict(tmp_path: Path, content: Content) -> None:
    arguments = argparse.Namespace(**{**vars(content["train_args"]), "latent_channel_size": 8})
    del arguments.size
    message = refused(saved(tmp_path / "a.pt", {**content, "train_args": arguments}))
    assert "stated size = 256 (by default), latent_channel_size = 8, the weights have size = 16" in message


def test_metadata_that_contradicts_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    text = small.config(size=32).to_json()
    safetensors_header(path, lambda h: h["__metadata__"].update(stylemap_config=text))
    message = "its configuration contradicts its weights: stated size = 32, the weights have size = 16"
    assert refused(path) == message


def test_header_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    name = "encoder.final_conv.1.bias"
    huge = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}
    assert "damaged" in refused(safetensors_header(path, lambda h: h[name].update(huge)))
    assert "damaged" in refused(safetensors_header(path, lambda h: h[name].update(shape=[7])))
    assert "damaged" in refused(safetensors_header(path, lambda h: h.pop(name)))
    assert "no stylemap_config" in refused(safetensors_header(path, lambda h: h.pop("__metadata__")))
    moved = refused(safetensors_header(path, lambda h: h.update({"other.x": h.pop(name)})))
    assert moved == "unexpected key other.x"
    renamed = refused(safetensors_header(path, lambda h: h.update({"encoder.x": h.pop(name)})))
    assert renamed == "encoder: missing key final_conv.1.bias"
    reshaped = refused(safetensors_header(path, lambda h: h[name].update(shape=[2, 3])))
    assert reshaped == "encoder: final_conv.1.bias has shape 2×3, expected 6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[" * 10**5, "stylemap_config"),
        ("7", "a configuration is a JSON object, got 7"),
        ('{"size": 1e9}', "size must be a whole number from 1 to 16384, got 1000000000.0"),
        ('{"sides": 2}', "unknown configuration entries: sides"),
        ('{"lr_mul": NaN}', "lr_mul must be a positive number"),
    ],
)
def test_metadata(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.safetensors"
    safetensors_header(path, lambda h: h["__metadata__"].update(stylemap_config=text))
    assert message in refused(path)
