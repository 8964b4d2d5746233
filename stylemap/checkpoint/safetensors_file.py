"""Our .safetensors layout: tensors ``generator.*``, ``encoder.*``, perhaps ``discriminator.*``, and in a
class-conditional model ``classes.weight`` and ``discriminator_classes.weight``, beside a configuration in the
metadata. Generator, encoder and classes are the averaged weights.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stylemap.checkpoint.contents import (
    CONFIG_FILE,
    CONFIG_KEY,
    Checkpoint,
    CheckpointError,
    State,
    one_line,
    plain_arguments,
    show,
)
from stylemap.config import Config

PARTS = ("generator", "encoder", "discriminator", "classes", "discriminator_classes")
_TRAIN_ARGS = "stylemap_train_args"
_MAX_HEADER_BYTES = 16 << 20
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
}


def read_safetensors(path: Path) -> Checkpoint:
    """The parts of a file. It is mapped into memory, so that only the tensors in use are read.

    Raises:
        CheckpointError: any other content. Keys and shapes are checked elsewhere (see `verify`).
    """
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
    if header_bytes > min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
        raise CheckpointError(f"{path}: damaged or truncated (its header claims {header_bytes} bytes)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error
    states = _split(path, tensors)
    source, config = _configuration(path, metadata)
    return Checkpoint(
        config=_config(source, config),
        generator=states["generator"],
        encoder=states["encoder"],
        discriminator=states.get("discriminator"),
        classes=states.get("classes"),
        discriminator_classes=states.get("discriminator_classes"),
        train_args={**_train_args(metadata), **plain_arguments(json.loads(config))},
    )


def _split(path: Path, tensors: dict[str, Tensor]) -> dict[str, State]:
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition(".")
        if part not in PARTS:
            raise CheckpointError(f"{path}: unexpected key {show(name)}")
        states.setdefault(part, {})[key] = tensor
    for part in ("generator", "encoder"):
        if part not in states:
            raise CheckpointError(f"{path}: holds no {part}.* tensors")
    return dict(states)


def _configuration(path: Path, metadata: dict[str, str]) -> tuple[str, str]:
    """The configuration's text, after its place: of the file itself, else of config.json beside it."""
    if CONFIG_KEY in metadata:
        return f"{path}: {CONFIG_KEY}", metadata[CONFIG_KEY]
    beside = path.with_name(CONFIG_FILE)
    if not beside.is_file():
        raise CheckpointError(f"{path}: no {CONFIG_KEY} in its metadata and no {CONFIG_FILE} beside it")
    if beside.stat().st_size > _MAX_HEADER_BYTES:
        raise CheckpointError(f"{beside}: {beside.stat().st_size} bytes are no configuration")
    return str(beside), beside.read_text(encoding="utf-8", errors="replace")


def _config(source: str, text: str) -> Config:
    try:
        return Config.from_json(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{source}: {one_line(error)}") from error


def _train_args(metadata: dict[str, str]) -> dict[str, Any]:
    """The training arguments. Nothing depends on them, so unreadable ones are dropped."""
    try:
        values = json.loads(metadata.get(_TRAIN_ARGS, "{}"))
    except (ValueError, RecursionError):
        return {}
    return plain_arguments(values) if isinstance(values, dict) else {}


def write_safetensors(checkpoint: Checkpoint, file: IO[bytes]) -> None:
    """Write the header, then one tensor after the other, without a copy of the whole model."""
    states = {part: getattr(checkpoint, part) for part in PARTS}
    tensors = {f"{part}.{key}": t for part, state in states.items() if state for key, t in state.items()}
    # Widest elements first, as the format asks for aligned data; then by name.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    notes = {k: v for k, v in checkpoint.train_args.items() if k not in checkpoint.config.to_dict()}
    metadata = {
        "format": "pt",
        CONFIG_KEY: checkpoint.config.to_json(),
        _TRAIN_ARGS: json.dumps(notes, sort_keys=True),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for _, tensor in ordered:
        file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
