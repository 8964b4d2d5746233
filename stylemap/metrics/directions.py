"""Directions of attributes in the space of stylemaps: fitting, and accuracy on held-out faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stylemap.data.faces import LABEL_NAMES
from stylemap.edit.direction import Direction, fit_direction
from stylemap.edit.direction_set import NamedDirection, along_data

# Attributes of generated faces: the label of those that have it, that of those that lack it ("": all others).
ATTRIBUTES = {
    "smile": ("smiling", "frowning"),
    "open mouth": ("mouth_open", ""),
    "glasses": ("glasses", ""),
    "beard": ("beard", ""),
    "hat": ("hat", ""),
    "blond hair": ("blond_hair", "black_hair"),
    "long hair": ("long_hair", ""),
    "lipstick": ("lipstick", ""),
}


def attribute_labels(labels: Tensor, name: str) -> Tensor:
    """1 for faces with the attribute, 0 for those without, -1 for those in between.

    labels: N x len(LABEL_NAMES), as `FacesDataset.labels` gives them. name: one of `ATTRIBUTES`.
    """
    positive, negative = ATTRIBUTES[name]
    has = labels[:, LABEL_NAMES.index(positive)] > 0.5
    lacks = labels[:, LABEL_NAMES.index(negative)] > 0.5 if negative else ~has
    return torch.where(has, 1, torch.where(lacks, 0, -1))


def fit_directions(
    stylemaps: Tensor, labels: Tensor, names: Sequence[str] = tuple(ATTRIBUTES), cost: float = 1.0
) -> dict[str, NamedDirection]:
    """Directions of attributes from encoded generated faces (see `along_data`).

    stylemaps: N x K x L x L. labels: N x len(LABEL_NAMES). cost: the SVM's C.
    Raises ImportError without scikit-learn, ValueError for an unknown attribute or too few examples of one.
    """
    found = {}
    for name in names:
        if name not in ATTRIBUTES:
            raise ValueError(f"faces have no attribute {name!r}, but {', '.join(ATTRIBUTES)}")
        has = attribute_labels(labels, name)
        positive, negative = stylemaps[has == 1], stylemaps[has == 0]
        direction: Direction = fit_direction(positive, negative, cost=cost)
        found[name] = along_data(direction, positive, negative)
    return found


class Separation(NamedTuple):
    """vector: the unit direction, K x L x L. accuracy: share of held-out faces on the right side of the
    threshold; balanced: the mean of that over the two classes. positive, negative: held-out counts."""

    vector: Tensor
    accuracy: float
    balanced: float
    positive: int
    negative: int


def separation(train: Tensor, train_labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> Separation:
    """A direction fitted by a linear SVM on ``train`` and scored on ``held_out``.

    Stylemaps N x K x L x L with labels N: 1 with the attribute, 0 without, anything else left out. The
    threshold along the direction is the one that is best on ``train``.

    Raises ImportError without scikit-learn, ValueError where a class is missing.
    """
    vector = fit_direction(train[train_labels == 1], train[train_labels == 0], held_out=0).vector
    threshold = _best_threshold(_project(train, vector), train_labels)
    heights = _project(held_out, vector)
    right_positive = (heights[held_out_labels == 1] > threshold).double()
    right_negative = (heights[held_out_labels == 0] <= threshold).double()
    if not len(right_positive) or not len(right_negative):
        raise ValueError("the held-out faces lack examples with or without the attribute")
    accuracy = torch.cat([right_positive, right_negative]).mean()
    balanced = (right_positive.mean() + right_negative.mean()) / 2
    return Separation(vector, float(accuracy), float(balanced), len(right_positive), len(right_negative))


def _project(stylemaps: Tensor, vector: Tensor) -> Tensor:
    return stylemaps.flatten(1).double().cpu() @ vector.flatten().double()


def _best_threshold(heights: Tensor, labels: Tensor) -> float:
    """The middle between two neighbouring values with the fewest examples on the wrong side."""
    chosen = (labels == 1) | (labels == 0)
    heights, order = heights[chosen].sort()
    positive = (labels[chosen][order] == 1).long()
    below = torch.cat([positive.new_zeros(1), positive.cumsum(0)])
    negatives_above = (1 - positive).sum() - torch.cat([positive.new_zeros(1), (1 - positive).cumsum(0)])
    cut = int((below + negatives_above).argmin())
    if cut == 0:
        return float(heights[0]) - 1
    if cut == len(heights):
        return float(heights[-1])
    return float(heights[cut - 1] + heights[cut]) / 2
