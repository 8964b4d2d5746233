"""Directions of attributes: fitted by a linear SVM on labelled stylemaps, saved and loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylemap.edit.arrays import read_arrays
from stylemap.edit.manipulate import unit
from stylemap.files import write_whole
from stylemap.optional import require


@dataclass(frozen=True)
class Direction:
    """A unit direction and how it was found.

    vector: K x L x L float32 of length 1, towards the attribute.
    accuracy: share of held-out examples on the right side, in [0, 1]; NaN where nothing was held out.
    facts: counts and settings, as JSON values.
    """

    vector: Tensor
    accuracy: float
    facts: Mapping[str, Any] = field(default_factory=dict)


def fit_direction(
    positive: Tensor, negative: Tensor, *, held_out: float = 0.2, cost: float = 1.0, seed: int = 0
) -> Direction:
    """The unit normal of a linear SVM between stylemaps with and without an attribute.

    The accuracy is measured on a held-out part; the direction returned is fitted on everything.

    Args:
        positive: stylemaps N x K x L x L that have the attribute.
        negative: stylemaps M x K x L x L that lack it.
        held_out: share of each class kept for the accuracy, in [0, 1); 0 measures nothing.
        cost: the SVM's C.
        seed: of the split.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: shapes that differ, values that are not finite, or fewer than two examples of a class.
    """
    if positive.ndim != 4 or positive.shape[1:] != negative.shape[1:]:
        raise ValueError(
            "positive and negative must be stylemaps of one K and L, "
            f"got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    if min(len(positive), len(negative)) < 2:
        raise ValueError(f"each class needs at least two examples, got {len(positive)} and {len(negative)}")
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must be in [0, 1), got {held_out}")
    examples = torch.cat([positive, negative]).flatten(1).float().cpu().numpy()
    if not np.isfinite(examples).all():
        raise ValueError("stylemaps hold values that are not finite")
    labels = np.repeat([1, -1], [len(positive), len(negative)])
    test = _held_out(labels, held_out, seed)
    accuracy = float("nan")
    if test.any():
        machine = _svm(cost, seed).fit(examples[~test], labels[~test])
        accuracy = float(machine.score(examples[test], labels[test]))
    normal = _svm(cost, seed).fit(examples, labels).coef_.reshape(positive.shape[1:])
    facts = {"positive": len(positive), "negative": len(negative), "held_out": int(test.sum()), "cost": cost}
    return Direction(unit(torch.from_numpy(normal)).float(), accuracy, facts)


def require_svm() -> Any:
    """scikit-learn's LinearSVC.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    return require("sklearn.svm", "fitting a direction").LinearSVC


def _svm(cost: float, seed: int) -> Any:
    return require_svm()(C=cost, dual="auto", random_state=seed, max_iter=20_000)


def _held_out(labels: np.ndarray[Any, Any], share: float, seed: int) -> np.ndarray[Any, Any]:
    """Which examples are kept back: ``share`` of each class, leaving at least one to fit."""
    random = np.random.default_rng(seed)
    test = np.zeros(len(labels), dtype=bool)
    for label in (1, -1):
        of_class = np.flatnonzero(labels == label)
        count = min(len(of_class) - 1, round(share * len(of_class)))
        test[random.permutation(of_class)[:count]] = True
    return test


def save_direction(direction: Direction, path: str | os.PathLike[str]) -> None:
    """Write a .npz (``vector``, ``accuracy``, ``facts``) or .safetensors file, whole or not at all."""
    suffix = Path(path).suffix
    facts = json.dumps(dict(direction.facts))
    vector = direction.vector.float().cpu().contiguous()
    if suffix == ".npz":
        with write_whole(path) as file:
            np.savez(
                file, vector=vector.numpy(), accuracy=np.array(direction.accuracy), facts=np.array(facts)
            )
    elif suffix == ".safetensors":
        from safetensors.torch import save

        with write_whole(path) as file:
            file.write(save({"vector": vector}, {"accuracy": repr(direction.accuracy), "facts": facts}))
    else:
        raise ValueError(f"a direction is saved as .npz or .safetensors, not {str(path)!r}")


def load_direction(path: str | os.PathLike[str], shape: tuple[int, int, int] | None = None) -> Direction:
    """Read what ``save_direction`` wrote, or any .npz / .npy / .safetensors with one K x L x L array.

    Nothing in the file is executed. ``shape`` is the K x L x L expected.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another content or shape, values that are not finite; the message names the file.
    """
    try:
        arrays, accuracy, facts = _read(Path(path))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is not a direction file: {error}") from error
    vector = arrays.get("vector")
    if vector is None and len(arrays) == 1:
        (vector,) = arrays.values()
    if vector is None or vector.ndim != 3:
        raise ValueError(f"{path} holds no array K x L x L named 'vector'; it has {sorted(arrays)}")
    if shape is not None and tuple(vector.shape) != tuple(shape):
        raise ValueError(
            f"{path}: the direction is {tuple(vector.shape)}, but the model's stylemaps are {tuple(shape)}"
        )
    if not bool(vector.isfinite().all()):
        raise ValueError(f"{path}: the direction holds NaN or infinite values")
    try:
        return Direction(unit(vector), accuracy, facts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[dict[str, Tensor], float, dict[str, Any]]:
    arrays, texts = read_arrays(path)
    accuracy = arrays.pop("accuracy", None)
    number = float(texts.get("accuracy", "nan")) if accuracy is None else float(accuracy)
    return arrays, number, json.loads(texts.get("facts", "{}"))
