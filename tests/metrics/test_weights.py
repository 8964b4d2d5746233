"""Files of weights: read by the reader of checkpoints, by their content; bad ones are one line."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stylemap.metrics.fid import load_inception
from stylemap.metrics.weights import read_tensors


class Runs:
    """Pickles to a call of the shell."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> Any:
        return os.system, (self.line,)


def _state() -> collections.OrderedDict[str, torch.Tensor]:
    state = collections.OrderedDict({"a": torch.nn.Parameter(torch.ones(2)), "b": torch.zeros(1).int()})
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    return state


@pytest.mark.parametrize("form", ["zip", "legacy", "protocol-4", "safetensors"])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
def test_the_content_decides(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / name
    if form == "safetensors":
        save_file({key: value.detach() for key, value in _state().items()}, path)
    else:
        protocol = 4 if form == "protocol-4" else 2
        torch.save(_state(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=form != "legacy")
    found = read_tensors(path, "")
    path.unlink()
    assert found["a"].tolist() == [1, 1]
    assert not found["a"].requires_grad
    assert found["b"].dtype == torch.int32


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_nothing_is_run(tmp_path: Path, zipped: bool) -> None:
    path, sign = tmp_path / "a.pth", tmp_path / "run"
    torch.save({"a": Runs(f"touch {sign}")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"a\.pth is not a state dict \(refused, it asks to run .*posix\.system"
    ):
        read_tensors(path, "weights")
    assert not sign.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a state dict but an empty file"),
        (b"<!DOCTYPE html><html>", "a web page: the download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"plain words", "a text file"),
        (pickle.dumps({"a": 1}), "neither a state dict nor safetensors"),
        (b"PK\x03\x04" + bytes(60), "damaged or truncated"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=reason) as refused:
        read_tensors(tmp_path / "a.pth", "weights")
    assert str(refused.value).startswith(str(tmp_path / "a.pth"))
    assert str(refused.value).endswith(": expected weights")
    assert "\n" not in str(refused.value)


def test_torch_fidelity_is_given_plain_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads with torch.load: what it gets is a file of ours with tensors and nothing else."""
    given = []

    class Network(torch.nn.Module):
        def __init__(self, _: str, __: list[str], feature_extractor_weights_path: str) -> None:
            super().__init__()
            given.append((feature_extractor_weights_path, torch.load(feature_extractor_weights_path)))

    monkeypatch.setattr("stylemap.metrics.fid._torch_fidelity", lambda: Network)
    torch.save(_state(), tmp_path / "inception.pth")
    load_inception(tmp_path / "inception.pth")
    ((path, state),) = given
    assert path != str(tmp_path / "inception.pth")
    assert not Path(path).exists()
    assert type(state) is dict
    assert {type(value) for value in state.values()} == {torch.Tensor}
