"""Paste and ring: which maps of an edit can be copied, and which have to be convolved.

γ and β are affine in the stylecode and see 3×3 cells of it. Where all nine blend the same images with the
same coefficients (which sum to 1), the maps are that blend of those images' maps. Everywhere else, around
the borders of masks, they are convolved: in whole tiles, where a convolution works in tiles. At the border
of the frame the convolution pads with zeros, and a map from elsewhere was padded differently.

Masks are small and few: all of this is NumPy on the host, whose calls cost least, and looks only at the box
around the masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylemap.edit.masks import shift_in_cells
from stylemap.ops.reference import shift_cells

Indices = NDArray[np.int64]
_Bool = NDArray[np.bool_]
_Labels = NDArray[np.int32]
_T = TypeVar("_T", np.int32, np.bool_)

#: References that cover a cell, in order; images are numbered 0 (the original), 1 (first reference), …
Pattern = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CellMask:
    """A reference at one resolution r: where it lies after its shift, and that shift.

    ``on``: r×r, bool, on the CPU; ``shift``: (dx, dy) in cells.
    """

    on: Tensor
    shift: tuple[int, int]
    any: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal masks and shifts."""
        return self.shift, self.on.numpy().tobytes()


@dataclass(frozen=True)
class Region:
    """Cells y·r + x that blend the same references."""

    cells: Indices
    pattern: Pattern


@dataclass(frozen=True)
class Frame:
    """Rows top … bottom − 1, columns left … right − 1 of a side × side frame."""

    side: int
    top: int
    bottom: int
    left: int
    right: int

    def cells(self, where: _Bool) -> Indices:
        """The numbers y·side + x of what is on in this part."""
        rows, columns = np.divmod(np.flatnonzero(where), self.right - self.left)
        found: Indices = (rows + self.top) * self.side + (columns + self.left)
        return found

    def of(self, mask: CellMask) -> _Bool:
        """This part of a mask."""
        on: _Bool = mask.on.numpy()
        return on[self.here]

    @property
    def here(self) -> tuple[slice, slice]:
        """Rows and columns, to cut this part out of the whole."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def around(self, other: Frame) -> Frame:
        """The smallest with both parts."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Frame(self.side, top, max(self.bottom, other.bottom), left, max(self.right, other.right))


@dataclass(frozen=True, eq=False)
class Labels:
    """Of every cell of ``frame`` its pattern, by number in ``patterns`` (0 is the empty one), and whether it
    lies in a tile to convolve; cells elsewhere are the original's.
    """

    frame: Frame
    numbers: _Labels
    patterns: list[Pattern]
    convolved: _Bool

    def within(self, frame: Frame) -> Labels:
        """The same in a larger frame."""
        if frame == self.frame:
            return self
        return Labels(
            frame, self._placed(self.numbers, frame), self.patterns, self._placed(self.convolved, frame)
        )

    def _placed(self, values: NDArray[_T], frame: Frame) -> NDArray[_T]:
        rows = slice(self.frame.top - frame.top, self.frame.bottom - frame.top)
        columns = slice(self.frame.left - frame.left, self.frame.right - frame.left)
        out = np.zeros((frame.bottom - frame.top, frame.right - frame.left), dtype=values.dtype)
        out[rows, columns] = values
        return out

    def regions(self, where: _Bool) -> list[Region]:
        """The cells that are on in ``where``, by pattern."""
        cells, found = self.frame.cells(where), self.numbers[where]
        if len(self.patterns) == 2 and len(found) and found.all():
            return [Region(cells, self.patterns[1])]
        regions = [Region(cells[found == number], each) for number, each in enumerate(self.patterns)]
        return [region for region in regions if len(region.cells)]


@dataclass(frozen=True)
class Layout:
    """How to make the maps of one edited stylecode from the original's.

    ``paste``: where maps are blends of maps. ``tiles``: the tiles to convolve, numbered row by row; with
    tiles of one cell these are the cells of the ring. ``inputs``: the cells that the convolution reads, and
    what their codes are blends of. ``changed``: every cell that is pasted or in one of the tiles.
    """

    paste: list[Region]
    tiles: Indices
    inputs: list[Region]
    changed: Indices


def cell_masks(mask: Tensor, shift: tuple[float, float], resolutions: Sequence[int]) -> dict[int, CellMask]:
    """A mask at every resolution: pooled to cells, on where its mean is > 0.5, then shifted.

    Args:
        mask: 1×1×S×S in [0, 1], on the CPU.
        shift: (dx, dy) in pixels, truncated toward zero to whole cells.
        resolutions: powers of two, the coarsest first.
    """
    box = _box(mask, mask.shape[-1] // resolutions[0])
    return {r: _cell_mask(mask, box, shift, r) for r in resolutions}


def layout(masks: Sequence[CellMask], *, tile: int = 1, opaque: bool = False) -> Layout:
    """The layout of an edit.

    Args:
        masks: of the references in order, all at one resolution.
        tile: side of the convolution's tiles, in cells.
        opaque: with weight 1, when the last reference hides those below it.
    """
    found = labels(masks, tile=tile, opaque=opaque)
    if found is None:
        nothing: Indices = np.zeros(0, dtype=np.int64)
        return Layout([], nothing, [], nothing)
    ring, edited = found.convolved, found.numbers != 0
    return Layout(
        paste=found.regions(edited & ~ring),
        tiles=tiles_of(ring, found.frame, tile),
        inputs=found.regions(dilate(ring)),
        changed=found.frame.cells(edited | ring),
    )


def labels(masks: Sequence[CellMask], *, tile: int = 1, opaque: bool = False) -> Labels | None:
    """What `layout` is made of, with its arguments; None where no mask is on anywhere."""
    box = _around(masks, tile)
    if box is None:
        return None
    numbers, patterns = _label(masks, box, opaque)
    ring = _mixed(numbers) | _padded_differently(numbers, patterns, masks, box)
    return Labels(box, numbers, patterns, whole_tiles(ring, tile))


def overlap(masks: Sequence[CellMask]) -> bool:
    """Whether any cell is on in two masks."""
    found = [mask for mask in masks if mask.any]
    box = _around(found, 1) if len(found) > 1 else None
    if box is None:
        return False
    covered = box.of(found[0]).copy()
    for mask in found[1:]:
        on = box.of(mask)
        if bool((covered & on).any()):
            return True
        covered |= on
    return False


def coefficients(pattern: Pattern, weight: float | Sequence[float]) -> dict[int, float]:
    """How much of every image a blend in order contains; they sum to 1. weight: one of all references, or of
    each.
    """
    parts = {0: 1.0}
    for reference in pattern:
        own = weight if isinstance(weight, int | float) else weight[reference - 1]
        parts = {image: part * (1 - own) for image, part in parts.items()}
        parts[reference] = own
    return {image: part for image, part in parts.items() if part != 0}


def whole_tiles(cells: _Bool, tile: int) -> _Bool:
    """The cells of all tiles that contain one of these, in a frame that begins with a tile."""
    if tile == 1:
        return cells
    height, width = cells.shape
    listed = _any_in_tiles(cells, tile)
    grown: _Bool = listed.repeat(tile, axis=0).repeat(tile, axis=1)[:height, :width]
    return grown


def tiles_of(cells: _Bool, frame: Frame, tile: int) -> Indices:
    """The numbers of the tiles that contain one of these cells of a frame."""
    if tile == 1:
        return frame.cells(cells)
    across = -(-frame.side // tile)
    row, column = np.nonzero(_any_in_tiles(cells, tile))
    return (row + frame.top // tile) * across + (column + frame.left // tile)


def dilate(cells: _Bool) -> _Bool:
    """Grown by one cell in all eight directions."""
    wide: _Bool = cells.copy()
    wide[:, 1:] |= cells[:, :-1]
    wide[:, :-1] |= cells[:, 1:]
    result: _Bool = wide.copy()
    result[1:] |= wide[:-1]
    result[:-1] |= wide[1:]
    return result


def _box(mask: Tensor, cell: int) -> tuple[slice, slice] | None:
    """Rows and columns with all that is not 0, in whole cells of ``cell`` pixels; None where all is."""
    lines = mask[0, 0].amax(1).nonzero().flatten().tolist()
    columns = mask[0, 0].amax(0).nonzero().flatten().tolist()
    if not lines:
        return None
    rows, across = ((ends[0] // cell * cell, ends[-1] // cell * cell + cell) for ends in (lines, columns))
    return slice(*rows), slice(*across)


def _cell_mask(
    mask: Tensor, box: tuple[slice, slice] | None, shift: tuple[float, float], resolution: int
) -> CellMask:
    """Pooled within the box alone: outside it is off."""
    factor = mask.shape[-1] // resolution
    on = torch.zeros(1, 1, resolution, resolution, dtype=torch.bool, device=mask.device)
    if box is not None:
        rows, columns = (slice(ends.start // factor, ends.stop // factor) for ends in box)
        on[..., rows, columns] = F.avg_pool2d(mask[..., box[0], box[1]], factor) > 0.5
    dx, dy = shift_in_cells(shift, factor)
    on = shift_cells(on, dx, dy)[0, 0].contiguous()
    return CellMask(on, (dx, dy), bool(on.any()))


def _around(masks: Sequence[CellMask], tile: int) -> Frame | None:
    """The box around all that is on, in whole tiles, with room for what is convolved and read around it."""
    found = [mask.on.numpy() for mask in masks if mask.any]
    if not found:
        return None
    side = found[0].shape[0]
    ends = []
    for axis in (1, 0):
        lines = [np.flatnonzero(on.any(axis)) for on in found]
        first, last = min(each[0] for each in lines), max(each[-1] for each in lines)
        # The ring reaches one cell beyond a mask, its tiles may end a tile further, and their inputs one
        # cell beyond that: in the tile after the last.
        start, stop = (first - 1) // tile * tile - tile, -(-(last + 2) // tile) * tile + tile
        ends += [max(int(start), 0), min(int(stop), side)]
    return Frame(side, *ends)


def _label(masks: Sequence[CellMask], box: Frame, opaque: bool) -> tuple[_Labels, list[Pattern]]:
    """The number of every cell's pattern; number 0 is the empty one."""
    labels: _Labels = np.zeros((box.bottom - box.top, box.right - box.left), dtype=np.int32)
    patterns: list[Pattern] = [()]
    for number, mask in enumerate(masks, start=1):
        if not mask.any:
            continue
        on = box.of(mask)
        if opaque:
            labels[on] = len(patterns)
            patterns.append((number,))
            continue
        combined = labels + len(patterns) * on
        used = np.bincount(combined.ravel(), minlength=2 * len(patterns)) > 0
        used[0] = True
        labels = (used.cumsum() - 1).astype(np.int32)[combined]
        both = patterns + [(*pattern, number) for pattern in patterns]
        patterns = [pattern for pattern, kept in zip(both, used, strict=True) if kept]
    return labels, patterns


def _mixed(labels: _Labels) -> _Bool:
    """Where any cell in the 3×3 around a cell has another label."""
    across = labels[:, 1:] != labels[:, :-1]
    in_row = np.zeros(labels.shape, dtype=np.bool_)
    in_row[:, 1:] |= across
    in_row[:, :-1] |= across
    down = labels[1:] != labels[:-1]
    mixed = in_row.copy()
    mixed[1:] |= in_row[:-1] | down
    mixed[:-1] |= in_row[1:] | down
    return np.asarray(mixed)


def _padded_differently(
    labels: _Labels, patterns: list[Pattern], masks: Sequence[CellMask], box: Frame
) -> _Bool:
    """Cells at a border of the frame that show something moved across the direction of that border."""
    sideways = np.array([any(masks[number - 1].shift[0] for number in p) for p in patterns])
    vertical = np.array([any(masks[number - 1].shift[1] for number in p) for p in patterns])
    found = np.zeros(labels.shape, dtype=np.bool_)
    for at_frame, edge in ((box.left == 0, 0), (box.right == box.side, -1)):
        if at_frame:
            found[:, edge] |= sideways[labels[:, edge]]
    for at_frame, edge in ((box.top == 0, 0), (box.bottom == box.side, -1)):
        if at_frame:
            found[edge] |= vertical[labels[edge]]
    return found


def _any_in_tiles(cells: _Bool, tile: int) -> _Bool:
    """Whether any cell of every tile is on."""
    height, width = cells.shape
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.zeros((rows * tile, columns * tile), dtype=np.bool_)
    padded[:height, :width] = cells
    return np.asarray(padded.reshape(rows, tile, columns, tile).any(axis=(1, 3)))
