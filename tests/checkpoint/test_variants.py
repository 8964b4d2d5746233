"""Checkpoints as other programs leave them: wrapped, without arguments, changed on their way, or none."""

from __future__ import annotations

import argparse
import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stylemap.checkpoint import load
from tests.helpers import small
from tests.helpers.refusal import refused, saved

Content = dict[str, Any]


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    "name",
    [
        "module.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module._orig_mod.{}",
    ],
)
def test_wrapped_networks(tmp_path: Path, content: Content, name: str) -> None:
    wrapped = {
        part: {
            name.format(key).replace("decoder.", "decoder._orig_mod."): t for key, t in content[part].items()
        }
        for part in ("g_ema", "e_ema")
    }
    assert same(load(saved(tmp_path / "a.pt", {**content, **wrapped})), small.model())


def test_keys_that_meet_are_refused(tmp_path: Path, content: Content) -> None:
    key, tensor = next(iter(content["g_ema"].items()))
    part = {**content["g_ema"], f"module.{key}": tensor}
    assert "g_ema: several of its keys are one" in refused(
        saved(tmp_path / "a.pt", {**content, "g_ema": part})
    )


def test_the_averaged_weights_alone(tmp_path: Path, content: Content) -> None:
    alone = {part: content[part] for part in ("g_ema", "e_ema")}
    loaded = load(saved(tmp_path / "a.pt", alone))
    assert same(loaded, small.model())
    assert loaded.config.size == small.model().config.size


def test_arguments_that_are_missing_come_from_the_weights(tmp_path: Path, content: Content) -> None:
    for name in ("size", "latent_channel_size", "mapping_layer_num"):
        arguments = argparse.Namespace(**vars(content["train_args"]))
        delattr(arguments, name)
        loaded = load(saved(tmp_path / "a.pt", {**content, "train_args": arguments}))
        assert loaded.config == small.model().config


def test_arguments_as_a_dict_and_of_floats(tmp_path: Path, content: Content) -> None:
    values = vars(content["train_args"])
    floats = {k: float(v) if type(v) is int else v for k, v in values.items()}
    for arguments in (values, floats, argparse.Namespace(**floats)):
        loaded = load(saved(tmp_path / "a.pt", {**content, "train_args": arguments}))
        assert loaded.config == small.model().config
    broken = {**values, "size": 16.5}
    assert "size must be a whole number" in refused(
        saved(tmp_path / "b.pt", {**content, "train_args": broken})
    )


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pt"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n", "a git-lfs pointer"),
        (gzip.compress(b"weights" * 99), "a gzip file"),
        (_tar(), "a tar archive"),
        ("größe = 256\n".encode() * 90, "a text file"),
        (b'{"size": 256}', "a text file"),
    ],
    ids=["page", "page-bom", "lfs", "gzip", "tar", "text", "json"],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, kind: str) -> None:
    for name in ("a.pt", "a.safetensors", "a"):
        (tmp_path / name).write_bytes(data)
        assert refused(tmp_path / name).startswith(f"not a checkpoint but {kind}")


def test_a_weight_that_was_changed_is_refused(tmp_path: Path, content: Content) -> None:
    path = saved(tmp_path / "a.pt", content)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda one: one.file_size)
    data[entry.header_offset + 200 + entry.file_size // 2] ^= 1
    path.write_bytes(data)
    assert "Bad CRC-32" in refused(path)


def test_files_without_checksums_load(tmp_path: Path, content: Content) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pt", content)
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(load(path), small.model())
