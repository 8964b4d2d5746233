"""Damaged and hostile files: one CheckpointError of one line, nothing run, nothing huge allocated."""

from __future__ import annotations

import argparse
import ipaddress
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap.checkpoint import CheckpointError, load, save_published, save_safetensors
from tests.helpers import small
from tests.helpers.refusal import refused, saved

Content = dict[str, Any]


class Runs:
    """Pickles to a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("function", "named"), [(os.system, "posix.system"), (bytearray, "__builtin__.bytearray"), (eval, "eval")]
)
def test_code_is_not_run(
    tmp_path: Path, content: Content, zipped: bool, function: Callable[..., Any], named: str
) -> None:
    argument = 10**10 if function is bytearray else f"touch {tmp_path / 'run'}"
    hostile = {**content, "e_optim": {"state": argparse.Namespace(x=1), "y": Runs(function, argument)}}
    path = tmp_path / "a.pt"
    torch.save(hostile, path, _use_new_zipfile_serialization=zipped)
    assert named in refused(path)
    assert not (tmp_path / "run").exists()


def test_plain_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {tmp_path / 'run'}")))
    assert refused(path) == "neither a PyTorch nor a safetensors file"
    assert not (tmp_path / "run").exists()


def test_other_classes_in_train_args(tmp_path: Path, content: Content) -> None:
    arguments = argparse.Namespace(**vars(content["train_args"]), host=ipaddress.IPv4Address("1.2.3.4"))
    assert "ipaddress.IPv4Address" in refused(saved(tmp_path / "a.pt", {**content, "train_args": arguments}))


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.9, 0.9999])
def test_truncated(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / f"a.{kind}"
    (save_published if kind == "pt" else save_safetensors)(small.model(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "damaged or truncated" in refused(path)


def test_flipped_bytes(tmp_path: Path, content: Content) -> None:
    """Random damage, mostly to headers and pickles: refused, or harmless where it hits a weight."""
    save_published(small.model(), tmp_path / "a.pt")
    save_safetensors(small.model(), tmp_path / "b.safetensors")
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    rng = random.Random(0)
    messages = []
    for name in ("a.pt", "b.safetensors", "c.pt"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 1, 4))):
                data[rng.randrange(8000)] = rng.randrange(256)
            (tmp_path / f"damaged-{name}").write_bytes(data)
            try:
                load(tmp_path / f"damaged-{name}")
            except CheckpointError as error:
                messages.append(str(error))
    assert len(messages) > 60
    assert not [message for message in messages if "\n" in message or "weights_only" in message]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_truncated_legacy(tmp_path: Path, content: Content, share: float) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "damaged or truncated" in refused(path)


def test_not_checkpoints(tmp_path: Path) -> None:
    assert refused(tmp_path) == "a folder without model.safetensors, not a checkpoint file"
    assert refused(tmp_path / "none.pt") == "no such file"
    files = {
        "empty.pt": b"",
        "empty.safetensors": b"",
        "text.pt": b"a text\n" * 99,
        "html.pt": b"<html></html>",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / "empty.pt") == "the file is empty"
    assert refused(tmp_path / "empty.safetensors") == "the file is empty"
    assert refused(tmp_path / "text.pt") == "not a checkpoint but a text file"
    assert refused(tmp_path / "html.pt").startswith("not a checkpoint but a web page")
    (tmp_path / "text.safetensors").write_bytes(b"a text\n" * 99)
    assert refused(tmp_path / "text.safetensors") == "not a checkpoint but a text file"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.pt")
        assert refused(tmp_path / "fifo.pt") == "not a regular file"


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.symlink_to(path)
    assert refused(path)


def test_other_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(path) == "a zip archive, but not one that torch.save wrote"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10**7)
    assert refused(path) == "a compressed zip, which torch.save does not write"


@pytest.mark.parametrize("claim", [10 * 2**30, 2**64 - 1, 2**63, 0])
def test_header_length_claims(tmp_path: Path, claim: int) -> None:
    path = tmp_path / "a.safetensors"
    save_safetensors(small.model(), path)
    path.write_bytes(struct.pack("<Q", claim) + path.read_bytes()[8:])
    assert "damaged or truncated" in refused(path)
