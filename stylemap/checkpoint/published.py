"""The published .pt layout: a dict written by torch.save (docs/network.md section 7)."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from stylemap.checkpoint.contents import (
    Checkpoint,
    CheckpointError,
    State,
    one_line,
    plain_arguments,
    plain_key,
    show,
)
from stylemap.checkpoint.torch_file import read_content
from stylemap.config import Config


def read_published(path: Path) -> Checkpoint:
    """The parts of a published file, mapped from it where it is a zip archive, as since torch 1.6.

    Raises:
        CheckpointError: any other content, see `stylemap.checkpoint.torch_file.read_content`. Keys and shapes
            are checked elsewhere (see `verify`).
    """
    content = read_content(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no checkpoint but an object of type {type(content).__name__}")
    return _checkpoint(path, content)


def _checkpoint(path: Path, content: Mapping[Any, Any]) -> Checkpoint:
    arguments = _arguments(path, content.get("train_args"))
    try:
        config = Config.from_namespace(arguments)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: train_args: {one_line(error)}") from error
    parts = {name: _state(path, content, name) for name in _PARTS}
    for name in ("g_ema", "e_ema"):
        if parts[name] is None:
            held = ", ".join(show(key) for key in list(content)[:8])
            raise CheckpointError(
                f"{path}: no {name}, the averaged weights that editing uses; it holds {held or 'nothing'}"
            )
    if parts["g_ema_classes"] is None:
        parts["g_ema_classes"] = parts["g_classes"]
    return Checkpoint(
        config=config,
        optimizers={name: content[name] for name in ("g_optim", "d_optim", "e_optim") if name in content},
        train_args=plain_arguments(vars(arguments)),
        **{field: parts[name] for name, field in _PARTS.items()},  # type: ignore[arg-type]
    )


def _arguments(path: Path, given: object) -> argparse.Namespace:
    """The training arguments; none where there are none. Whole numbers of the configuration may be floats."""
    if given is None:
        return argparse.Namespace()
    if not isinstance(given, dict | argparse.Namespace):
        raise CheckpointError(f"{path}: train_args is a {type(given).__name__}, neither Namespace nor dict")
    items = given if isinstance(given, dict) else vars(given)
    values = {key: value for key, value in items.items() if isinstance(key, str)}
    for name in _WHOLE:
        value = values.get(name)
        if isinstance(value, float) and value.is_integer():
            values[name] = int(value)
    arguments = argparse.Namespace()
    vars(arguments).update(values)
    return arguments


_WHOLE = [field.name for field in dataclasses.fields(Config) if isinstance(field.default, int)]
_WHOLE.remove("small_generator")
_PARTS = {
    "g_ema": "generator",
    "e_ema": "encoder",
    "discriminator": "discriminator",
    "generator": "raw_generator",
    "encoder": "raw_encoder",
    "g_ema_classes": "classes",
    "g_classes": "raw_classes",
    "d_classes": "discriminator_classes",
}


def _state(path: Path, content: Mapping[Any, Any], name: str) -> State | None:
    part = content.get(name)
    if part is None:
        return None
    if not isinstance(part, dict):
        raise CheckpointError(f"{path}: {name} is a {type(part).__name__}, not a state dict")
    for key, value in part.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name}: {show(key)} is a {type(value).__name__}, not a tensor")
    plain = {plain_key(key): value for key, value in part.items()}
    if len(plain) < len(part):
        raise CheckpointError(f"{path}: {name}: several of its keys are one without 'module' and '_orig_mod'")
    return plain


def write_published(checkpoint: Checkpoint, file: IO[bytes]) -> None:
    """Write this layout. Missing weights in training are replaced by the averaged ones."""
    content: dict[str, Any] = {
        "generator": checkpoint.raw_generator or checkpoint.generator,
        "discriminator": checkpoint.discriminator,
        "encoder": checkpoint.raw_encoder or checkpoint.encoder,
        "g_ema": checkpoint.generator,
        "e_ema": checkpoint.encoder,
        "g_ema_classes": checkpoint.classes,
        "g_classes": checkpoint.raw_classes or checkpoint.classes,
        "d_classes": checkpoint.discriminator_classes,
    }
    content = {name: dict(part) for name, part in content.items() if part is not None}
    content.update(checkpoint.optimizers)
    arguments = {**checkpoint.train_args, **vars(checkpoint.config.to_namespace())}
    content["train_args"] = argparse.Namespace(**arguments)
    torch.save(content, file)
