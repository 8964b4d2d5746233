"""Arrays in files, .npz, .npy or .safetensors: nothing in them is executed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylemap.edit.modulate_map import cells_of_map
from stylemap.files import check_file, reading


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The numeric arrays of a file, float32 by name ("" in a .npy), and its texts: metadata, string arrays.

    Raises:
        OSError: the file is missing or may not be read.
        ValueError: another content; the message says what is wrong, not where.
    """
    check_file(path)
    with open(path, "rb"):  # a missing file is an OSError that names it
        pass
    if Path(path).suffix == ".safetensors":
        return _safetensors(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": _tensor(loaded)}, {}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        # numpy advises to load what is no file of arrays without care.
        reason = "it holds no plain arrays" if "pickle" in str(error) else str(error)
        raise ValueError(reason) from error
    numbers = {name: _tensor(array) for name, array in arrays.items() if array.dtype.kind in "fiub"}
    return numbers, {name: str(array) for name, array in arrays.items() if array.dtype.kind == "U"}


def load_stylemap(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> Tensor:
    """A stylemap, 1 x K x L x L float32, from a file with an array named "stylemap" or with one array.

    shape: the K x L x L expected; the array has it, or N = 1 before it.

    Raises:
        OSError: the file is missing or may not be read.
        ValueError: another content or shape, values that are not finite; the message names the file.
    """
    w = load_array(path, "stylemap")
    if tuple(w.shape) not in (tuple(shape), (1, *shape)):
        raise ValueError(f"{path}: the stylemap is {tuple(w.shape)}, but the model's are {tuple(shape)}")
    return w.reshape(1, *shape)


def load_map(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> Tensor:
    """A map for `modulate_map` over stylemaps of ``shape`` K x L x L; an array "map", or the only one.

    Raises:
        OSError: the file is missing or may not be read.
        ValueError: another content or shape; the message names the file.
    """
    map = load_array(path, "map")
    try:
        return cells_of_map(map, shape)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_array(path: str | os.PathLike[str], name: str) -> Tensor:
    """The finite array of that name, or the only one of a file. Errors as in `load_stylemap`."""
    try:
        arrays, _ = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path} is no file of arrays: {error}") from error
    array = arrays.get(name)
    if array is None:
        if len(arrays) != 1:
            raise ValueError(f"{path} holds no array named {name!r}; it has {sorted(arrays)}")
        (array,) = arrays.values()
    if not bool(array.isfinite().all()):
        raise ValueError(f"{path} holds NaN or infinite values")
    return array


def _safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with reading(path), safe_open(path, framework="pt") as file:
            arrays = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"an array of {array.dtype}, not of numbers")
    return torch.from_numpy(array.astype(np.float32))
