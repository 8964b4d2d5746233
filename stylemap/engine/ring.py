"""Paste and ring: which maps of an edit can be copied, and which have to be convolved.

γ and β are affine in the stylecode and see 3 × 3 cells of it. Where all nine blend the same images with
the same coefficients (which sum to 1), the maps are that blend of those images' maps. Everywhere else,
around the borders of masks, they are convolved: in whole tiles of the convolution. At the border of the
frame the convolution pads with zeros, and a map from elsewhere was padded differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.engine.reference import CellMask

#: References that cover a cell, in order; images are numbered 0 (the original), 1 (first reference), …
Pattern = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Region:
    """Cells y·r + x, int64, that blend the same references."""

    cells: Tensor
    pattern: Pattern


@dataclass(frozen=True, eq=False)
class Layout:
    """How to make the maps of one edited stylecode from the original's.

    ``paste``: where maps are blends of maps. ``tiles``: tiles of the convolution to compute, int32.
    ``inputs``: the cells these read, and what their codes are blends of. ``changed``: every cell that
    is pasted or in one of the tiles.
    """

    paste: list[Region]
    tiles: Tensor
    inputs: list[Region]
    changed: Tensor


def overlap(masks: Sequence[CellMask]) -> bool:
    """Whether any cell is on in two masks."""
    if sum(mask.any for mask in masks) < 2:
        return False
    return bool(sum(mask.on.to(torch.uint8) for mask in masks).max() > 1)  # type: ignore[union-attr]


def layout(masks: Sequence[CellMask], tile: int, opaque: bool) -> Layout:
    """The layout of an edit; ``opaque``: with weight 1, when the last reference hides those below it."""
    labels, patterns = _label(masks, opaque)
    ring = ~_uniform(labels) | _padded_differently(labels, patterns, masks)
    tiled, numbers = _tiles(ring, tile)
    edited = labels != 0
    return Layout(
        paste=_regions(labels, edited & ~tiled, patterns),
        tiles=numbers,
        inputs=_regions(labels, _dilate(tiled), patterns),
        changed=_cells(edited | tiled),
    )


def coefficients(pattern: Pattern, weight: float) -> dict[int, float]:
    """How much of every image a blend in order contains; they sum to 1."""
    parts = {0: 1.0}
    for reference in pattern:
        parts = {image: part * (1 - weight) for image, part in parts.items()}
        parts[reference] = weight
    return {image: part for image, part in parts.items() if part != 0}


def blend_rows(
    images: Sequence[Tensor], masks: Sequence[CellMask], region: Region, weight: float, side: int
) -> Tensor:
    """Rows of a region, float32: the blend of the images' rows (cells × channels), moved by their shifts."""
    total: Tensor | None = None
    for image, part in coefficients(region.pattern, weight).items():
        dx, dy = masks[image - 1].shift if image else (0, 0)
        rows = images[image].index_select(0, region.cells - (dy * side + dx)).float()
        if total is None:
            total = rows if part == 1 else rows.mul_(part)
        else:
            total.add_(rows, alpha=part)
    assert total is not None
    return total


def _label(masks: Sequence[CellMask], opaque: bool) -> tuple[Tensor, list[Pattern]]:
    """The number of every cell's pattern, int64; number 0 is the empty one."""
    labels = torch.zeros(masks[0].on.shape, dtype=torch.int64)
    patterns: list[Pattern] = [()]
    for number, mask in enumerate(masks, start=1):
        if not mask.any:
            continue
        if opaque:
            labels[mask.on] = len(patterns)
            patterns.append((number,))
            continue
        combined = labels + len(patterns) * mask.on
        used = torch.bincount(combined.flatten(), minlength=2 * len(patterns)) > 0
        used[0] = True
        labels = (used.cumsum(0) - 1)[combined]
        both = patterns + [(*pattern, number) for pattern in patterns]
        patterns = [pattern for pattern, kept in zip(both, used.tolist(), strict=True) if kept]
    return labels, patterns


def _uniform(labels: Tensor) -> Tensor:
    """Where all cells of the frame in the 3 × 3 around a cell have its label."""
    across = labels[:, 1:] != labels[:, :-1]
    in_row = torch.zeros(labels.shape, dtype=torch.bool)
    in_row[:, 1:] |= across
    in_row[:, :-1] |= across
    down = labels[1:] != labels[:-1]
    mixed = in_row.clone()
    mixed[1:] |= in_row[:-1] | down
    mixed[:-1] |= in_row[1:] | down
    return ~mixed


def _padded_differently(labels: Tensor, patterns: list[Pattern], masks: Sequence[CellMask]) -> Tensor:
    """Cells at a border of the frame that show something moved across the direction of that border."""
    sideways = torch.tensor([any(masks[number - 1].shift[0] for number in p) for p in patterns])
    vertical = torch.tensor([any(masks[number - 1].shift[1] for number in p) for p in patterns])
    found = torch.zeros(labels.shape, dtype=torch.bool)
    for edge in (0, -1):
        found[:, edge] |= sideways[labels[:, edge]]
        found[edge] |= vertical[labels[edge]]
    return found


def _tiles(ring: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """The cells of all tiles that contain a cell of the ring, and the numbers of these tiles."""
    side = ring.shape[0]
    count = -(-side // tile)
    padded = torch.zeros(count * tile, count * tile, dtype=torch.bool)
    padded[:side, :side] = ring
    listed = padded.view(count, tile, count, tile).any(3).any(1)
    cells = listed[:, None, :, None].expand(-1, tile, -1, tile).reshape(padded.shape)[:side, :side]
    return cells, _cells(listed).to(torch.int32)


def _dilate(cells: Tensor) -> Tensor:
    """Grown by one cell in all eight directions."""
    wide = cells.clone()
    wide[:, 1:] |= cells[:, :-1]
    wide[:, :-1] |= cells[:, 1:]
    result = wide.clone()
    result[1:] |= wide[:-1]
    result[:-1] |= wide[1:]
    return result


def _regions(labels: Tensor, where: Tensor, patterns: list[Pattern]) -> list[Region]:
    cells = _cells(where)
    found = labels.view(-1)[cells]
    regions = [Region(cells[found == number], pattern) for number, pattern in enumerate(patterns)]
    return [region for region in regions if len(region.cells)]


def _cells(where: Tensor) -> Tensor:
    return where.reshape(-1).nonzero()[:, 0]
