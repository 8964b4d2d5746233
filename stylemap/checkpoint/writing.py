"""Write checkpoints and convert between the two layouts. A file is written whole or not at all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from stylemap.checkpoint.contents import Checkpoint, CheckpointError, State, one_line, plain_arguments
from stylemap.checkpoint.published import write_published
from stylemap.checkpoint.reading import load_state
from stylemap.checkpoint.safetensors_file import write_safetensors
from stylemap.checkpoint.verify import CLASSES, NETWORKS, all_finite
from stylemap.files import write_whole
from stylemap.model import Discriminator, StyleMapGAN

Writer = Callable[[Checkpoint, IO[bytes]], None]


def save_safetensors(
    model: StyleMapGAN,
    path: str | os.PathLike[str],
    discriminator: Discriminator | None = None,
    train_args: Mapping[str, Any] | None = None,
) -> None:
    """Write a .safetensors: weights in the model's dtype, the configuration in the metadata.

    train_args: notes to keep; entries that are not plain values are left out.
    Raises CheckpointError when the file cannot be written; what was there before then stays.
    """
    _write(write_safetensors, _of_model(model, discriminator, train_args), Path(path))


def save_published(
    model: StyleMapGAN,
    path: str | os.PathLike[str],
    discriminator: Discriminator | None = None,
    train_args: Mapping[str, Any] | None = None,
) -> None:
    """Write a .pt in the published layout, without optimiser states; otherwise as `save_safetensors`.

    The model's weights stand for the averaged ones and for those being trained, stored once.
    """
    _write(write_published, _of_model(model, discriminator, train_args), Path(path))


def convert(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], dtype: torch.dtype | None = None
) -> None:
    """Write a checkpoint in the other layout, or the same: .safetensors or .pt, as the destination ends.

    Averaged weights and discriminator are kept bit for bit, or converted to ``dtype``. A .safetensors has
    no place for optimiser states and the weights being trained: they stay behind.

    Raises CheckpointError as `load` and `save_safetensors` do.
    """
    target = Path(destination)
    writers: dict[str, Writer] = {".safetensors": write_safetensors, ".pt": write_published}
    if target.suffix not in writers:
        raise CheckpointError(f"{target}: expected a name that ends in .safetensors or .pt")
    checkpoint = load_state(source)
    states: dict[str, State] = {}
    shared: dict[tuple[int, torch.Size], Tensor] = {}
    for part in (*NETWORKS, *CLASSES):
        state = getattr(checkpoint, part)
        if state is not None:
            states[part] = {
                key: _converted(f"{source}: {part}: {key}", tensor.detach(), dtype, shared)
                for key, tensor in state.items()
            }
    _write(writers[target.suffix], dataclasses.replace(checkpoint, **states), target)  # type: ignore[arg-type]


def _of_model(
    model: StyleMapGAN, discriminator: Discriminator | None, train_args: Mapping[str, Any] | None
) -> Checkpoint:
    arguments = dict(train_args or {})
    if model.class_names:
        arguments["class_names"] = list(model.class_names)
    return Checkpoint(
        config=model.config,
        generator=_on_cpu(model.generator),
        encoder=_on_cpu(model.encoder),
        discriminator=None if discriminator is None else _on_cpu(discriminator),
        classes=None if model.class_vectors is None else _on_cpu(model.class_vectors),
        train_args=plain_arguments(arguments),
    )


def _on_cpu(module: torch.nn.Module) -> State:
    return {key: _own(tensor.detach().cpu()) for key, tensor in module.state_dict().items()}


def _own(tensor: Tensor) -> Tensor:
    """Contiguous, and no view of a larger storage: torch.save would write all of that."""
    tensor = tensor.contiguous()
    exact = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if exact else tensor.clone()


def _converted(
    name: str, tensor: Tensor, dtype: torch.dtype | None, shared: dict[tuple[int, torch.Size], Tensor]
) -> Tensor:
    """The tensor to write: one object for all parts that share it, which stores it once."""
    key = tensor.data_ptr(), tensor.shape
    if key not in shared:
        result = tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)
        if not all_finite(result):
            raise CheckpointError(f"{name} has values too large for {str(dtype).removeprefix('torch.')}")
        shared[key] = _own(result)
    return shared[key]


def _write(writer: Writer, checkpoint: Checkpoint, path: Path) -> None:
    try:
        with write_whole(path) as file:
            writer(checkpoint, file)
    except (OSError, RuntimeError) as error:  # torch.save turns a failed write into a RuntimeError
        raise CheckpointError(f"{path}: cannot be written ({one_line(error)})") from error
