"""Read a checkpoint: as a model to edit with, or as tensors to resume training from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylemap.checkpoint import foreign
from stylemap.checkpoint.contents import Checkpoint, CheckpointError, State, class_names, one_line
from stylemap.checkpoint.hub import DEMO, WEIGHTS, locate
from stylemap.checkpoint.published import read_published
from stylemap.checkpoint.safetensors_file import read_safetensors
from stylemap.checkpoint.torch_file import is_torch_file
from stylemap.checkpoint.verify import CLASSES, NETWORKS, all_finite, verify
from stylemap.model import StyleMapGAN
from stylemap.model.checks import available_device


def load(
    path: str | os.PathLike[str] = DEMO,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> StyleMapGAN:
    """The StyleMapGAN of a checkpoint, ready to edit with.

    path: a published .pt, or a .safetensors written by `save_safetensors`; its content decides which. Or a
        folder with model.safetensors, or "hf://USER/REPOSITORY/FILE": see `stylemap.checkpoint.locate`.
        "demo", the default, is the model that the package bundles (a file of that name is "./demo").
    device, dtype: of the weights; float32 by default, whatever the file has.

    Returns the averaged (EMA) weights in evaluation mode, frozen (``requires_grad`` is False), in memory
    of their own: the file may be changed or removed afterwards.

    Raises CheckpointError, one line that names the file and the first thing wrong with it: missing,
    damaged, not a checkpoint, wrong keys or shapes, values that are not finite, out of reach. Nothing in a
    file is run. ValueError for a device that is not there, ImportError for the Hub without huggingface_hub.
    """
    file = locate(path)
    target, dtype = available_device(device), dtype or torch.float32
    if not dtype.is_floating_point:
        raise TypeError(f"dtype: expected a floating-point dtype, got {dtype}")
    checkpoint = _read(file)
    checkpoint = verify(file, checkpoint, ("generator", "encoder"))
    with torch.device("meta"):
        model = StyleMapGAN(checkpoint.config, class_names(checkpoint))
    modules: dict[str, nn.Module | None]
    modules = {"generator": model.generator, "encoder": model.encoder, "classes": model.class_vectors}
    for part, module in modules.items():
        state: State | None = getattr(checkpoint, part)
        if state is None or module is None:
            continue
        placed = {key: _place(f"{file}: {part}: {key}", t, target, dtype) for key, t in state.items()}
        module.load_state_dict(placed, assign=True)
    return model.eval().requires_grad_(False)


def load_state(path: str | os.PathLike[str]) -> Checkpoint:
    """Every part of a checkpoint, the discriminator and the weights being trained included.

    All parts are checked as `load` checks those it uses. The tensors have the dtypes of the file and are
    mapped from it: load them into modules (which copies) before the file changes.

    Raises CheckpointError as `load` does.
    """
    file = locate(path)
    checkpoint = _read(file)
    checkpoint = verify(file, checkpoint, NETWORKS)
    for part in (*NETWORKS, *CLASSES):
        for key, tensor in (getattr(checkpoint, part) or {}).items():
            if not all_finite(tensor):
                raise CheckpointError(f"{file}: {part}: {key} has values that are NaN or infinite")
    return checkpoint


def notes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The training arguments of a checkpoint, as far as they are plain values; its weights are not checked.

    Raises CheckpointError where it is none.
    """
    return dict(_read(locate(path)).train_args)


def _read(path: Path) -> Checkpoint:
    try:
        if path.is_dir():
            raise CheckpointError(f"{path}: a folder without {WEIGHTS}, not a checkpoint file")
        if not path.exists():
            raise CheckpointError(f"{path}: no such file")
        if not path.is_file():
            raise CheckpointError(f"{path}: not a regular file")
        with path.open("rb") as file:
            head = file.read(foreign.HEAD_BYTES)
        if not head:
            raise CheckpointError(f"{path}: the file is empty")
        other = foreign.what_it_is(head)
        if other:
            raise CheckpointError(f"{path}: not a checkpoint but {other}")
        if is_torch_file(head):
            return read_published(path)
        if path.suffix == ".safetensors" or head[8:9] == b"{":
            return read_safetensors(path)
    except MemoryError as error:
        raise MemoryError(f"{path}: there is not enough memory to read it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({one_line(error.strerror or error)})") from error
    raise CheckpointError(f"{path}: neither a PyTorch nor a safetensors file")


def _place(name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A contiguous copy on the device; floating-point tensors in ``dtype``. It must be finite."""
    placed = torch.empty(
        tensor.shape, device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype
    )
    placed.copy_(tensor.detach())
    if not all_finite(placed):
        if all_finite(tensor.detach()):
            raise CheckpointError(f"{name} has values too large for {str(dtype).removeprefix('torch.')}")
        raise CheckpointError(f"{name} has values that are NaN or infinite")
    return placed
