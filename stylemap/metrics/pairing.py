"""Pairs of images for local editing, chosen greedily by the overlap of their masks."""

from __future__ import annotations

import torch
from torch import Tensor


def iou(masks: Tensor) -> Tensor:
    """N x N intersection over union of masks N x H x W (bool); 0 where both are empty."""
    flat = masks.flatten(1).float()
    intersection = flat @ flat.T
    area = flat.sum(1)
    union = area[:, None] + area[None] - intersection
    return intersection / union.clamp(min=1)


def pair_by_iou(masks: Tensor) -> list[tuple[int, int]]:
    """(original, reference) pairs: the best overlap first, then the best among the rest; each image once.

    Images without the part (empty masks) stay out, and so does an odd one left over. Of equal overlaps the
    lowest indices come first.

    masks: bool N x H x W.
    """
    overlap = iou(masks)
    usable = masks.flatten(1).any(1)
    rows, columns = torch.triu_indices(len(masks), len(masks), offset=1)
    candidates = usable[rows] & usable[columns]
    rows, columns = rows[candidates], columns[candidates]
    order = overlap[rows, columns].argsort(descending=True, stable=True)
    taken = [False] * len(masks)
    pairs = []
    for first, second in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if not (taken[first] or taken[second]):
            taken[first] = taken[second] = True
            pairs.append((first, second))
    return pairs
