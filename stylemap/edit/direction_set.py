"""Several named directions in one file, each with its scale."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylemap import assets
from stylemap.edit.direction import load_direction
from stylemap.edit.manipulate import unit
from stylemap.files import check_file, reading, write_whole


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

    check_file(path)
    with open(path, "rb"):  # a missing file is an OSError that names it
        pass
    try:
        with reading(path), safe_open(path, framework="pt") as file:
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


def find_direction(text: str, shape: tuple[int, int, int] | None = None) -> NamedDirection:
    """The direction that a user wrote.

    Args:
        text: NAME of one of the bundled model's directions; FILE:NAME of a file that `save_directions` wrote;
            or FILE of a single direction, which has no scale of its own: its step is 1.
        shape: the K x L x L expected.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no direction of that name (the message lists those there are), several in a file without a
            name, another content or shape.
    """
    if Path(text).exists():
        try:
            found = load_directions(text)
        except ValueError:
            one = load_direction(text, shape)
            return NamedDirection(one.vector, 1.0, one.accuracy)
        if len(found) > 1:
            raise ValueError(f"{text} holds several directions: write {text}:NAME, one of {', '.join(found)}")
        return _shaped(next(iter(found.values())), text, shape)
    file, colon, name = text.rpartition(":")
    if colon and Path(file).exists():
        return _shaped(_named(load_directions(file), name, file), text, shape)
    bundled = assets.demo_directions()
    if not is_bundled(text) or bundled is None:
        raise FileNotFoundError(f"no such file: {file or text}")
    return _shaped(_named(load_directions(bundled), text, "the bundled file"), text, shape)


def is_bundled(text: str) -> bool:
    """Whether `find_direction` takes a text as the name of a direction of the bundled model."""
    return not Path(text).exists() and not Path(text).suffix and not {":", "/", os.sep} & set(text)


def _named(found: Mapping[str, NamedDirection], name: str, where: str) -> NamedDirection:
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, list(found), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"{where} has no direction {name!r}, but {', '.join(found)}{hint}")


def _shaped(one: NamedDirection, text: str, shape: tuple[int, int, int] | None) -> NamedDirection:
    if shape is not None and tuple(one.vector.shape) != tuple(shape):
        found = tuple(one.vector.shape)
        raise ValueError(f"{text}: the direction is {found}, but the model's stylemaps are {tuple(shape)}")
    return one
