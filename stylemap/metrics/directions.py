"""Directions of attributes in the space of stylemaps: fitting, and accuracy on held-out faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stylemap.data.faces import LABEL_NAMES, render, sample_attributes
from stylemap.data.faces.changes import with_and_without
from stylemap.edit.direction import fit_direction
from stylemap.edit.direction_set import NamedDirection
from stylemap.edit.manipulate import unit

_CHUNK = 16
_RIDGE = 0.1  # of the mean squared length of a stylemap
Progress = Callable[[Iterable[Any], str, int], Iterator[Any]]


def silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    """Progress that shows nothing."""
    yield from items


def batches_of(count: int, step: int) -> list[range]:
    """0 to count - 1 in ranges of at most ``step``."""
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


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
    encode: Callable[[Tensor], Tensor],
    size: int,
    count: int,
    names: Sequence[str] = tuple(ATTRIBUTES),
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, NamedDirection]:
    """Directions of attributes from pairs of drawn faces that differ in nothing else.

    The direction is the mean difference of the pairs' stylemaps, its step that difference's length: what
    faces with the attribute have in common otherwise (beards with short hair, say) is no part of it.

    encode: uint8 images N x 3 x size x size to stylemaps N x K x L x L. count: faces per attribute, of which
    a fifth is kept back for the accuracy: the share of pairs that differ along the direction the right way.

    Raises ValueError for an unknown attribute or a count below 5.
    """
    if count < 5:
        raise ValueError(f"directions need at least 5 faces, got {count}")
    found = {}
    for name in names:
        faces = sample_attributes(seed, range(count))
        sides = with_and_without(faces, name)
        ranges = batches_of(len(sides[0]), _CHUNK)
        encoded: list[list[Tensor]] = [[], []]
        for part in progress(ranges, name, len(ranges)):
            for maps, side in zip(encoded, sides, strict=True):
                images = render(side.take(np.array(part)), size)[0]
                maps.append(encode(images).float().cpu())
        having, lacking = (torch.cat(maps).flatten(1).double() for maps in encoded)
        fitted = len(having) - len(having) // 5
        change = (having[:fitted] - lacking[:fitted]).mean(0)
        further = (having[fitted:] - lacking[fitted:]) @ change > 0
        vector = unit(change).float().reshape(encoded[0][0].shape[1:])
        found[name] = NamedDirection(vector, float(change.norm()), float(further.double().mean()))
    return found


class Moves(NamedTuple):
    """What one step along a direction does to faces without the attribute, as classifiers of re-encoded
    images see it. success: share that then has it. kept: share of the other attributes that stay as they
    were, over faces and attributes. faces: how many."""

    success: float
    kept: float
    faces: int


class Classifiers:
    """Which attributes stylemaps show: one ridge regression on the stylemaps of drawn faces for all."""

    def __init__(self, stylemaps: Tensor, labels: Tensor, names: Sequence[str] = tuple(ATTRIBUTES)) -> None:
        self.names = tuple(names)
        flat = stylemaps.flatten(1).double()
        has = torch.stack([attribute_labels(labels, name) for name in names], 1)
        targets = torch.where(has == 1, 1.0, torch.where(has == 0, -1.0, 0.0)).double()
        self.centre = flat.mean(0)
        flat = flat - self.centre
        products = flat @ flat.T  # through the N x N products: N is of the order of D = K * L * L
        products.diagonal().add_(_RIDGE * products.diagonal().mean())
        self.vectors = flat.T @ torch.linalg.solve(products, targets - targets.mean(0))
        heights = flat @ self.vectors
        self.thresholds = torch.tensor(
            [_best_threshold(heights[:, i], has[:, i]) for i in range(len(self.names))], dtype=heights.dtype
        )

    def __call__(self, stylemaps: Tensor) -> Tensor:
        """bool N x attributes."""
        return (stylemaps.flatten(1).double() - self.centre) @ self.vectors > self.thresholds


def moves(before: Tensor, after: Tensor, index: int) -> Moves:
    """How a step along the direction of attribute ``index`` changed what is shown (bool N x attributes)."""
    lacking = ~before[:, index]
    before, after = before[lacking], after[lacking]
    others = torch.arange(before.shape[1]) != index
    if not len(before):
        raise ValueError("every face has the attribute already")
    return Moves(
        float(after[:, index].double().mean()),
        float((before == after)[:, others].double().mean()),
        len(before),
    )


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
