"""The published .pt layout: a dict written by torch.save (docs/network.md section 7).

Torch's restricted unpickler reads a file, after a scan has found every class and function that the file
refers to in `_ALLOWED`. Torch's own list is longer: it has constructors whose arguments from the file decide
how much they allocate. Nothing in a file is executed.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import pickle
import pickletools
import zipfile
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
from stylemap.config import Config

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, its storage keys
_MAX_PICKLE_BYTES = 64 << 20

_STORAGES = "Double Float Half BFloat16 Long Int Short Char Byte Bool"
_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
_ALLOWED = {
    "argparse Namespace",
    "collections OrderedDict",
    "_codecs encode",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}Storage" for name in _STORAGES.split()),
    *(f"torch {name}" for name in _DTYPES.split()),
}
_GLOBALS = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}


def read_published(path: Path, mapped: bool = True) -> Checkpoint:
    """The parts of a published file.

    mapped: True for a zip file. Its checksums are compared, and it is mapped into memory, so that only the
        tensors in use take memory. False for a file of torch before 1.6, which is read in full.

    Raises:
        CheckpointError: any other content. Keys and shapes are checked elsewhere (see `verify`).
    """
    try:
        if mapped:
            _scan_zip(path)
        else:
            _scan_legacy(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:  # its text advises to read the file without the restrictions
        raise CheckpointError(f"{path}: damaged or hostile, its pickle holds more than tensors") from error
    except Exception as error:  # a damaged file can fail anywhere in zip, pickle or tensor code
        raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no checkpoint but an object of type {type(content).__name__}")
    return _checkpoint(path, content)


def _scan_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise CheckpointError(f"{path}: a compressed zip, which torch.save does not write")
        pickles = [entry for entry in entries if entry.filename.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"{path}: a zip archive, but not one that torch.save wrote")
        if pickles[0].file_size > _MAX_PICKLE_BYTES:
            raise CheckpointError(f"{path}: damaged, its index claims {pickles[0].file_size} bytes")
        _check_sums(path, archive)
        _scan_pickle(path, io.BytesIO(archive.read(pickles[0])))


def _check_sums(path: Path, archive: zipfile.ZipFile) -> None:
    """Compare every entry with its checksum. Where torch was told to write none, they are 0."""
    for entry in archive.infolist():
        if entry.CRC == 0:
            del entry.CRC  # which zipfile then does not expect
            continue
        try:
            with archive.open(entry) as file:
                while file.read(1 << 20):
                    pass
        except zipfile.BadZipFile as error:
            raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error


def _scan_legacy(path: Path) -> None:
    with path.open("rb") as file:
        for _ in range(_LEGACY_PICKLES):
            _scan_pickle(path, file)


def _scan_pickle(path: Path, file: IO[bytes]) -> None:
    """Read one pickle, without building anything, and refuse names that are not in `_ALLOWED`."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _GLOBALS and (opcode.name != "GLOBAL" or argument not in _ALLOWED):
            name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else "something it hides"
            raise CheckpointError(f"{path}: refused, it asks to run or build {show(name)}")


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
                f"{path}: no {name}, the averaged weights that editing uses; it holds {held}"
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
    values = {key: value for key, value in dict.items(items) if isinstance(key, str)}
    for name in _WHOLE:
        value = values.get(name)
        if isinstance(value, float) and value.is_integer():
            values[name] = int(value)
    return argparse.Namespace(**values)


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
    # An OrderedDict from a file may carry attributes that hide its methods: use those of dict.
    entries = dict(dict.items(part))
    for key, value in entries.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name}: {show(key)} is a {type(value).__name__}, not a tensor")
    plain = {plain_key(key): value for key, value in entries.items()}
    if len(plain) < len(entries):
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
