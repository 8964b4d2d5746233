"""Checkpoints of a run: written whole, the last few kept, and read back to continue."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.checkpoint.contents import CheckpointError as UnreadableError
from stylemap.checkpoint.torch_file import read_content
from stylemap.config import Config
from stylemap.files import write_whole
from stylemap.train.config import TrainConfig
from stylemap.train.networks import Networks

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"(\d{8})\.pt")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be continued from; the message names the file and the reason."""


class DamagedError(CheckpointError):
    """A file that cannot be read, such as one cut off."""


def save(
    folder: Path,
    networks: Networks,
    config: TrainConfig,
    iteration: int,
    further: Mapping[str, Any] | None = None,
    class_names: Sequence[str] = (),
    kept: Path | None = None,
) -> Path:
    """Writes ``folder/ITERATION.pt`` after ``iteration`` iterations; drops the oldest beyond ``keep``, but
    not ``kept``.

    The file has the published layout, so everything that reads published models reads it, and beside it
    the iteration, the configuration, and ``further`` entries. Random states are not in it: see
    `stylemap.train.batches`.

    Raises OSError, naming the file, when it cannot be written; the older files are then all still there.
    """
    arguments = config.model.to_namespace()
    arguments.data = config.data  # what photos are aligned by: see stylemap.photo.models
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
        if old != kept:
            old.unlink()
    return path


def found(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def load_newest(folder: Path, networks: Networks, config: TrainConfig) -> tuple[Path, dict[str, Any]] | None:
    """Restores from the newest checkpoint that can be read; returns it with its contents, None without any.

    A damaged one costs a line of warning. Raises CheckpointError as `load` does, and where none can be read.
    """
    files = found(folder)
    for number, path in enumerate(reversed(files), start=1):
        try:
            return path, load(path, networks, config)
        except DamagedError as error:
            if number == len(files):
                raise
            _LOG.warning("%s; continuing from the one before", error)
    return None


def load(path: Path, networks: Networks, config: TrainConfig) -> dict[str, Any]:
    """Restores weights, averages and optimisers; returns the whole file's contents.

    Raises DamagedError for a damaged file, CheckpointError for one of another network.
    """
    state = _read(path)
    _check_model(path, state["train_config"], config)
    try:
        networks.load_state_dict(state)
    except Exception as error:  # whatever a wrong state dict raises
        raise CheckpointError(f"cannot continue from {path}: {error}") from error
    return state


def projected_discriminator(path: Path) -> dict[str, Tensor] | None:
    """The state of the projected discriminator in a run's checkpoint; None where the run had another one, or
    where the file is not of a run of ours (a published one)."""
    try:
        state: dict[str, Tensor] | None = _read(path).get("projected_discriminator")
    except DamagedError:
        return None
    return state


def _read(path: Path) -> dict[str, Any]:
    """The contents of a run's checkpoint, whose checksums are compared.

    Raises DamagedError where it cannot be read.
    """
    try:
        state: dict[str, Any] = read_content(path, mapped=False)
        state["train_config"]
        state["iteration"] = int(state["iteration"])
    except UnreadableError as error:
        raise DamagedError(str(error)) from error
    except Exception as error:  # whatever other contents than those of a run raise
        reason = str(error).strip().partition("\n")[0][:200]
        raise DamagedError(f"{path} is damaged ({reason})") from error
    return state


def changes(saved: Mapping[str, Any], config: TrainConfig) -> list[str]:
    """What a continued run does in another way than before, a line for each setting."""
    old, new = _flat(saved), _flat(config.to_dict())
    return [
        f"{name}: {_word(old[name])}, now {_word(new[name])}"
        for name in new
        if old.get(name, new[name]) != new[name]
    ]


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    parts = {f"lambdas.{name}": value for name, value in values.get("lambdas", {}).items()}
    return {name: value for name, value in values.items() if name not in ("model", "lambdas")} | parts


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "none"


def _check_model(path: Path, saved: Mapping[str, Any], config: TrainConfig) -> None:
    """Raises CheckpointError, in words, for what a run cannot change on its way."""
    model = Config.from_dict(saved["model"])
    if model != config.model:
        raise CheckpointError(
            f"cannot continue from {path}: it holds another network\n  there: {model.to_json()}\n"
            f"  asked: {config.model.to_json()}"
        )
    fixed = (
        ("classes", "{} classes", 0),
        ("class_label", "classes by the label {}", ""),
        ("discriminator", "the {} discriminator", "published"),
        ("stage", "the stage {}", "networks"),
    )
    for name, words, default in fixed:
        before, now = saved.get(name, default), getattr(config, name)
        if before != now:
            there, asked = (words.format(value or "no") for value in (before, now))
            raise CheckpointError(
                f"cannot continue from {path}: it was trained with {there}, asked is {asked};"
                " a new run takes over what fits with --start-from"
            )
