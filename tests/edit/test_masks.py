"""Reading, pooling, shifting and drawing masks."""

from __future__ import annotations

import pytest
import torch

from stylemap import edit
from stylemap.edit import masks


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 8, 8), (3, 1, 8, 8)])
def test_accepted_shapes(shape: tuple[int, ...]) -> None:
    mask = masks.as_mask(torch.ones(shape), 8)
    assert mask.shape == (shape[0] if len(shape) == 4 else 1, 1, 8, 8)
    assert mask.dtype == torch.float32


@pytest.mark.parametrize("shape", [(4, 4), (8, 4), (3, 8, 8), (1, 2, 8, 8), (8,), (1, 1, 1, 8, 8)])
def test_a_wrong_shape_names_both_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mask must be 8 x 8.*got " + " x ".join(map(str, shape))):
        masks.as_mask(torch.ones(shape), 8)


def test_dtypes_mean_the_same_mask() -> None:
    on = torch.zeros(4, 4, dtype=torch.bool)
    on[1, 2] = on[3, 0] = True
    byte = on.to(torch.uint8) * 255
    signed = torch.where(on, 1.0, -1.0)
    for mask in (on, on.to(torch.uint8), byte, on.int(), on.double(), on.half(), signed):
        assert torch.equal(masks.as_mask(mask, 4)[0, 0], on.float())


def test_max_pooling_turns_a_cell_on_by_one_pixel() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[0, 0, 5, 2] = 1
    pooled = masks.pool_max(mask, 2)
    assert pooled.dtype == torch.bool
    assert pooled[0, 0].tolist() == [[False, False], [True, False]]


def test_average_pooling_needs_more_than_half_a_cell() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, :2, 0] = 1  # exactly half of the first cell
    mask[0, 0, :2, 2] = mask[0, 0, 0, 3] = 1  # three quarters of the second
    assert masks.pool_average(mask, 2)[0, 0].tolist() == [[False, True], [False, False]]


def test_pooling_to_cells_that_do_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="8 x 8 does not divide into 3 x 3"):
        masks.pool_max(torch.zeros(1, 1, 8, 8), 3)


@pytest.mark.parametrize(
    ("shift", "factor", "cells"),
    [
        ((7, -7), 4, (1, -1)),
        ((3, -3), 4, (0, 0)),
        ((8, -9), 4, (2, -2)),
        ((5, -5), 1, (5, -5)),
        ((0.9, -1.9), 1, (0, -1)),
    ],
)
def test_shifts_truncate_toward_zero(shift: tuple[float, float], factor: int, cells: tuple[int, int]) -> None:
    assert masks.shift_in_cells(shift, factor) == cells


def test_union() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.4]])
    assert edit.union([a, b]).tolist() == [[True, False]]
    assert edit.union([a, b + 0.2]).tolist() == [[True, True]]
    with pytest.raises(ValueError, match="at least one"):
        edit.union([])
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(3, 3\)"):
        edit.union([a, torch.zeros(3, 3)])


def test_box_covers_pixels_by_their_centres() -> None:
    box = masks.box(8, 0.25, 0.5, 0.75, 1)
    assert box.sum() == 16
    assert bool(box[4:, 2:6].all())
    assert bool(masks.box(8, 0, 0, 1, 1).all())


@pytest.mark.parametrize("corners", [(0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.01), (0.6, 0, 0.4, 1)])
def test_bad_boxes(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box needs"):
        masks.box(8, *corners)


def test_ellipse_has_its_area_and_symmetry() -> None:
    ellipse = masks.ellipse(256, 0.5, 0.5, 0.4, 0.2)
    assert float(ellipse.float().mean()) == pytest.approx(torch.pi * 0.4 * 0.2, rel=0.01)
    assert torch.equal(ellipse, ellipse.flip(0))
    assert torch.equal(ellipse, ellipse.flip(1))
    assert not torch.equal(ellipse, ellipse.T)


@pytest.mark.parametrize("shape", [(1.5, 0.5, 0.1, 0.1), (0.5, 0.5, 0, 0.1), (0.5, 0.5, 0.1, -1)])
def test_bad_ellipses(shape: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="ellipse needs"):
        masks.ellipse(8, *shape)
