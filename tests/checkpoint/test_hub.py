"""Names of checkpoints: folders with weights, and repositories of a hub that runs on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap import checkpoint
from stylemap.checkpoint import (
    CheckpointError,
    load,
    load_state,
    locate,
    notes,
    save_published,
    save_safetensors,
)
from tests.helpers import fake_hub, needs, small
from tests.helpers.fake_hub import Hub
from tests.helpers.refusal import safetensors_header

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, and an empty cache in tmp_path/cache."""
    constants = needs.package("huggingface_hub.constants")
    with fake_hub.serve() as served:
        _direct(monkeypatch, served.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield served


def _direct(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    constants = needs.package("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def _weights(path: Path) -> bytes:
    save_safetensors(small.model(), path, train_args={"data": "mine"})
    return path.read_bytes()


def _bare(path: Path) -> tuple[bytes, bytes]:
    """Weights without a configuration, and that configuration."""
    safetensors_header(path, lambda header: header.pop("__metadata__"))
    return path.read_bytes(), small.config().to_json().encode()


def _is_small(model: Any) -> bool:
    expected = small.model().state_dict()
    return all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


def _refused(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    return message.removeprefix(f"{name}: ")


def test_a_folder_gives_its_model_file(tmp_path: Path) -> None:
    _weights(tmp_path / "model.safetensors")
    save_published(small.model(), tmp_path / "other.pt")
    assert locate(tmp_path) == tmp_path / "model.safetensors"
    assert _is_small(load(tmp_path))
    assert notes(tmp_path)["data"] == "mine"


def test_a_folder_with_one_checkpoint_gives_that(tmp_path: Path) -> None:
    save_published(small.model(), tmp_path / "only.pt")
    assert locate(tmp_path) == tmp_path / "only.pt"
    assert _is_small(load(str(tmp_path)))
    assert load_state(tmp_path).config == small.config()


def test_a_folder_with_several_is_refused(tmp_path: Path) -> None:
    for name in ("00010000.pt", "00020000.pt"):
        save_published(small.model(), tmp_path / name)
    message = _refused(str(tmp_path))
    assert message.startswith("a folder of 2 .pt files and no model.safetensors: name one, such as ")
    assert message.endswith("00020000.pt")


def test_weights_without_a_configuration_take_config_json(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    _, config = _bare(path)
    assert _refused(str(path)) == "no stylemap_config in its metadata and no config.json beside it"
    (tmp_path / "config.json").write_bytes(config)
    assert _is_small(load(tmp_path))
    for text in ('{"size": 12}', "[" * 10**5, "no JSON"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError) as caught:
            load(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: ")


def test_a_file_of_a_repository(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["user/faces"] = {"runs/a.safetensors": _weights(tmp_path / "a.safetensors")}
    assert _is_small(load("hf://user/faces/runs/a.safetensors"))
    assert locate("hf://user/faces@main/runs/a.safetensors").is_relative_to(tmp_path / "cache")
    assert notes("hf://user/faces/runs/a.safetensors")["data"] == "mine"
    target = tmp_path / "b.pt"
    checkpoint.convert("hf://user/faces/runs/a.safetensors", target)
    assert _is_small(load(target))


def test_a_repository_with_configuration_and_weights(hub: Hub, tmp_path: Path) -> None:
    weights, config = _bare(tmp_path / "bare.safetensors")
    hub.repositories["user/bare"] = {"model.safetensors": weights, "config.json": config}
    assert _is_small(load("hf://user/bare"))
    hub.repositories["user/none"] = {"model.safetensors": weights}
    assert _refused("hf://user/none") == "the repository user/none has no file config.json"
    hub.repositories["user/whole"] = {"model.safetensors": _weights(tmp_path / "a.safetensors")}
    assert _is_small(load("hf://user/whole/"))
    assert _is_small(load(f"hf://user/whole@{fake_hub.COMMIT}"))


def test_the_cache_serves_without_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = needs.package("huggingface_hub.constants")
    hub.repositories["user/faces"] = {"model.safetensors": _weights(tmp_path / "a.safetensors")}
    load("hf://user/faces")
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _is_small(load("hf://user/faces"))
    message = _refused("hf://user/faces/other.safetensors")
    assert message == f"other.safetensors is not in the cache {tmp_path / 'cache'}, and HF_HUB_OFFLINE is set"
    assert len(hub.asked) == asked


def test_without_network(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["user/faces"] = {"model.safetensors": _weights(tmp_path / "a.safetensors")}
    load("hf://user/faces")
    with fake_hub.serve() as gone:
        closed = gone.address
    _direct(monkeypatch, closed)
    begin = time.monotonic()
    assert _is_small(load("hf://user/faces"))
    assert f"and {closed} cannot be reached (" in _refused("hf://user/new")
    assert time.monotonic() - begin < 8  # huggingface_hub alone tries for half a minute


def test_a_hub_that_does_not_answer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.5")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        _direct(monkeypatch, address)
        begin = time.monotonic()
        assert f"and {address} cannot be reached (" in _refused("hf://user/new")
        assert time.monotonic() - begin < 4


def test_what_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["user/faces"] = {"a.safetensors": b""}
    hub.gated.add("user/gated")
    assert _refused("hf://user/none").startswith("no repository user/none on the Hub, or a private one")
    named = "the repository user/faces has no file model.safetensors: name one, as hf://user/faces/FILE"
    assert _refused("hf://user/faces") == named
    assert _refused("hf://user/faces/b.pt") == "the repository user/faces has no file b.pt"
    assert _refused("hf://user/faces@v9/a.safetensors") == "the repository user/faces has no revision v9"
    assert "gives its files to those who accepted its terms" in _refused("hf://user/gated")


@pytest.mark.parametrize(
    "name", ["hf://", "hf://user", "hf://user/", "hf://a/b/../../c", "hf://a b/c", "hf://a/b@/c"]
)
def test_names_of_another_form(name: str) -> None:
    assert _refused(name).startswith("expected hf://USER/REPOSITORY")


def test_addresses_of_elsewhere() -> None:
    assert _refused("https://example.org/a.pt").startswith("models are files, or of the Hub")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # makes the import fail
    with pytest.raises(
        ImportError, match=r"hf://user/faces needs huggingface_hub: .*pip install 'stylemap\[hub\]'"
    ):
        load("hf://user/faces")


def test_commands_take_the_name(tmp_path: Path) -> None:
    needs.package("huggingface_hub")
    with fake_hub.serve() as hub:
        hub.repositories["user/faces"] = {"model.safetensors": _weights(tmp_path / "a.safetensors")}
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": hub.address,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
        }
        command = [sys.executable, "-m", "stylemap", "sample", "--count", "1", "--quiet", "--model"]
        run = subprocess.run(
            [*command, "hf://user/faces", "--output", str(tmp_path / "one.png")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert (tmp_path / "one.png").is_file()
    run = subprocess.run(
        [*command, "hf://user/none", "--output", str(tmp_path / "two.png")],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith("stylemap sample: error: hf://user/none: model.safetensors is not in the cache ")
