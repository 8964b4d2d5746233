"""Checkpoints of a run: written whole, the last few kept, and read back to continue."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stylemap.config import Config
from stylemap.files import write_whole
from stylemap.train.config import TrainConfig
from stylemap.train.networks import Networks

_NAME = re.compile(r"(\d{8})\.pt")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be continued from; the message names the file and the reason."""


def save(
    folder: Path,
    networks: Networks,
    config: TrainConfig,
    iteration: int,
    further: Mapping[str, Any] | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Writes ``folder/ITERATION.pt`` after ``iteration`` iterations; drops the oldest beyond ``keep``.

    The file has the published layout, so everything that reads published models reads it, and beside it
    the iteration, the configuration, and ``further`` entries. Random states are not in it: see
    `stylemap.train.batches`.

    Raises OSError, naming the file, when it cannot be written; the older files are then all still there.
    """
    arguments = config.model.to_namespace()
    if class_names:
        arguments.class_names = list(class_names)
    state: dict[str, Any] = networks.state_dict() | {
        "train_args": arguments,
        "iteration": iteration,
        "train_config": config.to_dict(),
        **(further or {}),
    }
    # Through memory, as torch.save to a file reports a full disk without saying so.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = folder / f"{iteration:08d}.pt"
    with write_whole(path) as file:
        file.write(buffer.getbuffer())
    for old in found(folder)[: -config.keep]:
        old.unlink()
    return path


def found(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def load(path: Path, networks: Networks, config: TrainConfig) -> dict[str, Any]:
    """Restores weights, averages and optimisers; returns the whole file's contents.

    Raises CheckpointError for a damaged file or one of another network.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        _check_model(path, state, config)
        networks.load_state_dict(state)
        state["iteration"] = int(state["iteration"])
        return state
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged zip, pickle or state dict raises
        raise CheckpointError(f"cannot continue from {path}: {error}") from error


def _check_model(path: Path, state: dict[str, Any], config: TrainConfig) -> None:
    saved = Config.from_dict(state["train_config"]["model"])
    if saved != config.model:
        raise CheckpointError(
            f"cannot continue from {path}: it holds another network\n  there: {saved.to_json()}\n"
            f"  asked: {config.model.to_json()}"
        )
