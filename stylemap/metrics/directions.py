"""How well directions in the space of stylemaps tell attributes apart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylemap.edit.direction import fit_direction


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
    """The middle between two neighbouring values that leaves the fewest on the wrong side."""
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
