"""Pasted and convolved maps are those of the blended code, wherever masks lie."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylemap.ops import reference
from stylemap.program import ring
from stylemap.program.ring import CellMask

WEIGHT = torch.randn(6, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
BIAS = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(8))


def maps_of(code: Tensor) -> Tensor:
    return F.conv2d(code, WEIGHT, BIAS, padding=1)


def masks_of(side: int, density: float, shifts: list[tuple[int, int]], seed: int) -> list[Tensor]:
    """Before their shifts: a box each, with holes."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in shifts:
        rows, columns = (torch.randint(0, side + 1, (2,), generator=generator).sort()[0] for _ in range(2))
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[rows[0] : rows[1], columns[0] : columns[1]] = True
        found.append(mask & (torch.rand(side, side, generator=generator) < density))
    return found


def shifted(masks: list[Tensor], shifts: list[tuple[int, int]]) -> list[CellMask]:
    moved = [reference.shift_cells(mask[None, None], *shift)[0, 0] for mask, shift in zip(masks, shifts)]
    return [CellMask(on, shift, bool(on.any())) for on, shift in zip(moved, shifts)]


@settings(max_examples=150, deadline=None)
@given(
    side=st.integers(1, 12),
    tile=st.sampled_from([1, 2, 4, 6]),
    shifts=st.lists(st.tuples(st.integers(-13, 13), st.integers(-13, 13)), min_size=1, max_size=3),
    density=st.sampled_from([0.1, 0.6, 0.95, 1.0]),
    weight=st.sampled_from([1.0, 0.25]),
    seed=st.integers(0, 1000),
)
def test_paste_and_ring_are_the_convolution_of_the_blended_code(
    side: int, tile: int, shifts: list[tuple[int, int]], density: float, weight: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = [
        torch.randn(1, 2, side, side, dtype=torch.float64, generator=generator)
        for _ in range(1 + len(shifts))
    ]
    unmoved = masks_of(side, density, shifts, seed)
    masks = shifted(unmoved, shifts)
    blended = codes[0]
    for code, mask, shift in zip(codes[1:], unmoved, shifts):
        blended = reference.blend(blended, code, mask, shift, weight)
    exact = maps_of(blended)[0].flatten(1)
    layout = ring.layout(masks, tile=tile, opaque=weight == 1)

    made = maps_of(codes[0])[0].flatten(1).clone()
    before = made.clone()
    sources = [maps_of(code)[0].flatten(1) for code in codes]
    for region in layout.paste:
        made[:, region.cells] = blend(sources, masks, region, weight, side)
    cells = cells_of(layout.tiles.tolist(), tile, side)
    made[:, cells] = exact[:, cells]
    torch.testing.assert_close(made, exact, rtol=0, atol=1e-12)

    inputs = torch.full((2, side * side), torch.nan, dtype=torch.float64)
    flat = [code[0].flatten(1) for code in codes]
    for region in layout.inputs:
        inputs[:, region.cells] = blend(flat, masks, region, weight, side)
    convolved = maps_of(inputs.view(1, 2, side, side))[0].flatten(1)
    torch.testing.assert_close(convolved[:, cells], exact[:, cells], rtol=0, atol=1e-12)

    untouched = torch.ones(side * side, dtype=torch.bool)
    untouched[torch.from_numpy(layout.changed)] = False
    assert torch.equal(exact[:, untouched], before[:, untouched])
    pasted = sorted(itertools.chain.from_iterable(region.cells.tolist() for region in layout.paste))
    assert layout.changed.tolist() == sorted({*pasted, *cells})
    assert not set(pasted) & set(cells)


def blend(rows: list[Tensor], masks: list[CellMask], region: ring.Region, weight: float, side: int) -> Tensor:
    total = torch.zeros(rows[0].shape[0], len(region.cells), dtype=torch.float64)
    for image, share in ring.coefficients(region.pattern, weight).items():
        dx, dy = masks[image - 1].shift if image else (0, 0)
        total += share * rows[image][:, region.cells - (dy * side + dx)]
    return total


def cells_of(tiles: list[int], tile: int, side: int) -> list[int]:
    across = -(-side // tile)
    found = []
    for number in tiles:
        row, column = number // across * tile, number % across * tile
        rows, columns = range(row, min(row + tile, side)), range(column, min(column + tile, side))
        found += [y * side + x for y in rows for x in columns]
    return sorted(found)


def one(mask: Tensor, shift: tuple[int, int] = (0, 0)) -> list[CellMask]:
    return shifted([mask], [shift])


def test_the_ring_is_thin() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:24, 8:24] = True
    assert len(ring.layout(one(mask)).tiles) == 18 * 18 - 14 * 14
    assert not len(ring.layout(one(torch.ones(8, 8, dtype=torch.bool))).tiles)
    for empty in (one(torch.zeros(8, 8, dtype=torch.bool), (3, 1)), one(mask, (40, 0))):
        nothing = ring.layout(empty)
        assert nothing.paste == nothing.inputs == []
        assert len(nothing.tiles) == len(nothing.changed) == 0


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_cells_are_on_where_most_of_their_pixels_are(resolution: int) -> None:
    mask = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask[..., :11, :] = 0
    found = ring.cell_masks(mask, (9.0, -5.0), [8, 16, 32])[resolution]
    factor = 32 // resolution
    pooled = F.avg_pool2d(mask, factor) > 0.5
    dx, dy = int(9 / factor), int(-5 / factor)
    assert found.shift == (dx, dy)
    assert torch.equal(found.on, reference.shift_cells(pooled, dx, dy)[0, 0])
    assert found.any == bool(found.on.any())


def test_overlaps() -> None:
    a, b = torch.zeros(2, 8, 8, dtype=torch.bool)
    a[:4], b[4:] = True, True
    assert not ring.overlap(shifted([a, b], [(0, 0), (0, 0)]))
    assert ring.overlap(shifted([a, b], [(0, 1), (0, 0)]))
    assert not ring.overlap(shifted([a, torch.zeros_like(a)], [(0, 0), (0, 0)]))
