"""Weights of feature networks, from files the user names. Nothing is ever downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def read_tensors(path: str | Path, wanted: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a state dict in a .pth file; nothing in it is executed.

    wanted: what the file should be and where it can be had, for the message of an error.

    Raises FileNotFoundError where there is no file, ValueError where it holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: expected {wanted}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file ({error}): expected {wanted}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged zip or pickle raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a state dict ({reason}): expected {wanted}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no plain state dict: expected {wanted}")
    return dict(content)
