"""Several named directions in one file, each with its scale."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylemap.edit.manipulate import unit
from stylemap.files import write_whole


@dataclass(frozen=True)
class NamedDirection:
    """A direction and its scale.

    vector: K x L x L float32 of length 1, towards the attribute.
    step: the strength (see `stylemap.edit.manipulate`) that makes up the mean difference between examples
        with and without the attribute.
    accuracy: share of held-out examples on the right side, or of held-out pairs in the right order, in
        [0, 1]; NaN where nothing was held out.
    """

    vector: Tensor
    step: float
    accuracy: float = float("nan")


def save_directions(directions: Mapping[str, NamedDirection], path: str | os.PathLike[str]) -> None:
    """Write the vectors as float16 to a .safetensors, with steps and accuracies in its metadata.

    Raises ValueError for another suffix or no direction.
    """
    from safetensors.torch import save

    if Path(path).suffix != ".safetensors" or not directions:
        raise ValueError(f"directions, at least one, are saved as .safetensors, not {str(path)!r}")
    arrays = {name: one.vector.to(torch.float16).cpu().contiguous() for name, one in directions.items()}
    about = {name: {"step": one.step, "accuracy": one.accuracy} for name, one in directions.items()}
    with write_whole(path) as file:
        file.write(save(arrays, {"directions": json.dumps(about)}))


def load_directions(
    path: str | os.PathLike[str], shape: tuple[int, int, int] | None = None
) -> dict[str, NamedDirection]:
    """Read what `save_directions` wrote, in its order.

    shape: the K x L x L expected.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another content or shape; the message names the file.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # a missing file is an OSError that names it
        pass
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["directions"])
            found = {
                name: NamedDirection(
                    unit(file.get_tensor(name).float()), float(facts["step"]), float(facts["accuracy"])
                )
                for name, facts in about.items()
            }
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a file of directions: {error}") from error
    for name, one in found.items():
        if one.vector.ndim != 3 or (shape is not None and tuple(one.vector.shape) != tuple(shape)):
            raise ValueError(f"{path}: {name} is {tuple(one.vector.shape)}, the stylemaps {shape}")
    return found
