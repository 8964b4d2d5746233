"""Config: widths, validation and its three spellings."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import pytest

from stylemap.config import Config


def test_default_widths() -> None:
    widths = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    assert {r: Config().channels(r) for r in widths} == widths
    assert Config(channel_multiplier=1).channels(1024) == 16
    assert Config(channel_multiplier=1).channels(32) == 512
    assert Config(size=16384, channel_multiplier=1).channels(16384) == 1


def test_widths_of_a_table() -> None:
    config = Config(channel_table={64: 48, 8: 20})
    assert [config.channels(r) for r in (8, 16, 64, 128)] == [20, 512, 48, 256]


def test_resolutions_and_codes() -> None:
    config = Config(size=32, latent_spatial_size=8, channel_table={32: 40})
    assert config.resolutions == (8, 16, 32)
    assert config.stylemap_shape == (64, 8, 8)
    codes = ((512, 8, 8), (512, 8, 8), (512, 16, 16), (512, 16, 16), (40, 32, 32), (40, 32, 32))
    assert config.stylecode_shapes == codes
    small = dataclasses.replace(config, small_generator=True)
    assert {shape[0] for shape in small.stylecode_shapes} == {64}


def test_is_hashable_and_compares_by_value() -> None:
    assert Config(channel_table={8: 4, 16: 2}) == Config(channel_table=((16, 2), (8, 4)))
    assert len({Config(), Config(size=256), Config(size=512)}) == 2


CONFIGS = [
    Config(),
    Config(1024, 32, 16, 1, "BatchNorm2d", True, 4, 0.1),
    Config(channel_table={8: 16, 256: 8}, normalize_mode="InstanceNorm2d"),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_round_trips(config: Config) -> None:
    assert Config.from_dict(config.to_dict()) == config
    assert Config.from_json(config.to_json()) == config
    assert Config.from_namespace(config.to_namespace()) == config
    json.loads(config.to_json())


def test_namespace_defaults_and_other_entries() -> None:
    assert Config.from_namespace(argparse.Namespace()) == Config(256, 64, 8, 2, "LayerNorm", False, 8, 0.01)
    assert Config.from_namespace(argparse.Namespace(dataset="ffhq", size=512)) == Config(512)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size must be a whole number from 1 to 16384, got 0"),
        ({"size": 10**9}, "size must be a whole number from 1 to 16384, got 1000000000"),
        ({"size": 256.0}, "size must be a whole number from 1 to 16384, got 256.0"),
        ({"size": True}, "size must be a whole number from 1 to 16384, got True"),
        ({"size": "256"}, "size must be a whole number from 1 to 16384, got '256'"),
        ({"size": 96}, "size must be a power of two, got 96"),
        ({"size": 8}, "size must be at least twice latent_spatial_size, 16, got 8"),
        ({"latent_spatial_size": 2}, "latent_spatial_size must be at least 4, got 2"),
        ({"latent_spatial_size": 12}, "latent_spatial_size must be a power of two, got 12"),
        ({"latent_channel_size": 0}, "latent_channel_size must be"),
        ({"channel_multiplier": 1.5}, "channel_multiplier must be"),
        ({"mapping_layer_num": 0}, "mapping_layer_num must be"),
        ({"normalize_mode": "SpectralNorm"}, "normalize_mode must be one of LayerNorm, "),
        ({"normalize_mode": None}, "normalize_mode must be one of LayerNorm, "),
        ({"small_generator": 1}, "small_generator must be true or false, got 1"),
        ({"lr_mul": 0.0}, "lr_mul must be a positive number of at most 1000, got 0.0"),
        ({"lr_mul": float("nan")}, "lr_mul must be a positive number of at most 1000, got nan"),
        ({"lr_mul": "x"}, "lr_mul must be a positive number of at most 1000, got 'x'"),
        ({"channel_table": 5}, "channel_table must map resolutions to channels, got 5"),
        ({"channel_table": {12: 8}}, "a resolution in channel_table must be a power of two, got 12"),
        ({"channel_table": {"x": 8}}, "a resolution in channel_table must be a whole number"),
        ({"channel_table": {8: 0}}, r"channel_table\[8\] must be a whole number from 1 to 8192, got 0"),
        ({"channel_table": {8: 20}, "normalize_mode": "GroupNorm"}, "8 groups, which do not divide the 20"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**values)


def test_unknown_entries() -> None:
    with pytest.raises(ValueError, match="unknown configuration entries: sise"):
        Config.from_dict({"sise": 256})
    with pytest.raises(ValueError, match="a configuration is a JSON object, got 3"):
        Config.from_json("3")
