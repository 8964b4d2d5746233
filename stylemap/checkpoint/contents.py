"""The contents of a checkpoint, whatever its file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stylemap.config import Config

State = Mapping[str, Tensor]
CONFIG_KEY, CONFIG_FILE = "stylemap_config", "config.json"  # in the metadata of .safetensors, and beside it


class CheckpointError(Exception):
    """A checkpoint that cannot be read or written. The message is one line that begins with the path."""


@dataclass(frozen=True)
class Checkpoint:
    """State dicts by the names of docs/network.md section 7, on the CPU in the dtypes of the file.

    The tensors of a file being read are mapped from it: copy what outlives the file.

    config: what the networks are built from.
    generator, encoder: the averaged (EMA) weights: ``g_ema`` and ``e_ema`` of a published file.
    discriminator: where the file has one.
    raw_generator, raw_encoder: the weights being trained, ``generator`` and ``encoder`` of a published file.
    classes, raw_classes: in a class-conditional model the vectors of the classes, ``weight`` C×K: averaged,
        and those being trained (``g_ema_classes`` and ``g_classes`` of a .pt; without the first both are the
        second). discriminator_classes: the discriminator's, ``weight`` C×channels(4) (``d_classes``).
    optimizers: ``g_optim``, ``d_optim``, ``e_optim``, as far as the file has them; their content is not
        checked.
    train_args: the training arguments that are numbers, texts, truth values or lists of those, including
        the fields of the configuration.
    """

    config: Config
    generator: State
    encoder: State
    discriminator: State | None = None
    raw_generator: State | None = None
    raw_encoder: State | None = None
    classes: State | None = None
    raw_classes: State | None = None
    discriminator_classes: State | None = None
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    train_args: Mapping[str, Any] = field(default_factory=dict)


def class_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Of a verified checkpoint: as its training arguments name them, else their numbers."""
    if checkpoint.classes is None:
        return ()
    count = len(checkpoint.classes["weight"])
    names = checkpoint.train_args.get("class_names")
    if isinstance(names, list) and len(set(names)) == count and all(isinstance(n, str) for n in names):
        return tuple(names)
    return tuple(map(str, range(count)))


def plain_key(key: str) -> str:
    """A key of a state dict without what DistributedDataParallel (``module``) and torch.compile
    (``_orig_mod``) put into it, wherever they were applied."""
    return ".".join(part for part in key.split(".") if part not in ("module", "_orig_mod"))


def plain_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that JSON keeps as they are: scalars and short flat lists. Others are left out."""
    return {key: value for key, value in values.items() if isinstance(key, str) and _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, list) and len(value) <= 1000:
        return all(_is_scalar(item) for item in value)
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    if type(value) is int and abs(value) >= 2**63:  # takes as long to print as a file likes
        return False
    return value is None or type(value) in (str, int, float, bool)


def one_line(text: object, limit: int = 200) -> str:
    """The first line of an exception or text, shortened: for the end of an error message."""
    line = str(text).strip().split("\n", 1)[0]
    return line if len(line) <= limit else line[: limit - 3] + "..."


def show(key: object) -> str:
    """A key for an error message. It comes from the file: its type, length and content may be anything."""
    key = key[:121] if isinstance(key, str | bytes) else key
    return one_line(key if isinstance(key, str) and key.isprintable() else ascii(key), 120)
