"""Greedy pairs by mask overlap."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap.metrics.pairing import iou, pair_by_iou


def strips(*spans: tuple[int, int]) -> Tensor:
    """1 x 10 masks, on from start to stop."""
    masks = torch.zeros(len(spans), 1, 10, dtype=torch.bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[0, start:stop] = True
    return masks


def test_iou() -> None:
    overlap = iou(strips((0, 4), (2, 6), (6, 10), (0, 0)))
    assert overlap[0].tolist() == pytest.approx([1, 2 / 6, 0, 0])
    assert overlap[3].tolist() == [0, 0, 0, 0]


def test_the_best_overlap_goes_first() -> None:
    """0 fits 1 well, but 1 fits 2 better; that leaves 0 with 3."""
    masks = strips((0, 4), (1, 6), (2, 6), (7, 9))
    assert pair_by_iou(masks) == [(1, 2), (0, 3)]


def test_each_image_is_used_once_and_empty_masks_never() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(21, 4, 4, generator=generator) > 0.5
    masks[5] = masks[9] = False
    used = [index for pair in pair_by_iou(masks) for index in pair]
    assert len(used) == len(set(used)) == 18
    assert not {5, 9} & set(used)


def test_equal_overlaps_take_the_lowest_indices() -> None:
    assert pair_by_iou(strips((0, 2), (0, 2), (0, 2), (0, 2))) == [(0, 1), (2, 3)]


def test_nothing_to_pair() -> None:
    assert pair_by_iou(strips((0, 2))) == []
    assert pair_by_iou(strips((0, 0), (0, 0))) == []
