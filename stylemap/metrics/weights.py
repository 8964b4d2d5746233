"""Weights of feature networks, from files the user names. Nothing is downloaded, nothing in a file is run."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from stylemap.checkpoint import CheckpointError, foreign, torch_file


def read_tensors(path: str | Path, wanted: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch.save wrote; the content of the file
    decides which. Pickles are read as those of checkpoints are, by `stylemap.checkpoint.torch_file`.

    wanted: what the file should be and where it can be had, for the message of an error.

    Raises FileNotFoundError where there is no file, ValueError where it holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: expected {wanted}")
    with path.open("rb") as file:
        head = file.read(foreign.HEAD_BYTES)
    other = foreign.what_it_is(head) if head else "an empty file"
    if other:
        raise ValueError(f"{path} is not a state dict but {other}: expected {wanted}")
    if not torch_file.is_torch_file(head):
        return _safetensors(path, wanted)
    try:
        content = torch_file.read_content(path, mapped=False)
    except CheckpointError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path} is not a state dict ({reason}): expected {wanted}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no plain state dict: expected {wanted}")
    return content


def _safetensors(path: Path, wanted: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ValueError(
            f"{path} is neither a state dict nor safetensors ({error}): expected {wanted}"
        ) from error
