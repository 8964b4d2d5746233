"""Grids of cells that are made block by block, and how to convolve some of their blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stylemap.program.ring import Indices

#: Which blocks of a grid, row by row.
Blocks = NDArray[np.bool_]

_PAGE = 4096
# Blocks of a rectangle that have to be wanted for it to be convolved as a whole.
_FILLED = 0.4


class Cells:
    """Values 1×r×r×C, which are made in blocks of ``block`` × ``block`` cells.

    made: which blocks are there. bytes: of them; with ``itemsize`` for each value, where that is given.
    """

    def __init__(
        self, values: Tensor, block: int, *, made: bool = False, itemsize: int | None = None
    ) -> None:
        self.values = values
        self.side: int = values.shape[1]
        self.block = block
        across = -(-self.side // block)
        self.made: Blocks = np.full((across, across), made)
        self.whole = made
        self.bytes = values.numel() * (itemsize or values.itemsize) if made else 0
        lines = np.minimum(self.side - np.arange(across) * block, block)
        # Memory comes in pages; a block at the side of another one may share some with it.
        taken = -(-lines * values[0, 0, 0].nbytes // _PAGE) * _PAGE
        self._block_bytes = lines[:, None] * taken

    @property
    def rows(self) -> Tensor:
        """(r·r)×C, the same memory."""
        return self.values.view(-1, self.values.shape[3])

    def blocks(self, cells: Indices) -> Blocks:
        """Those that have any of these cells y·r + x in them; r is a power of two."""
        bits = self.side.bit_length() - 1
        found = np.zeros(self.made.size, dtype=np.bool_)
        found[(cells >> bits) // self.block * len(self.made) + (cells & (self.side - 1)) // self.block] = True
        return found.reshape(self.made.shape)

    def cost(self, blocks: Blocks) -> int:
        """Memory that these blocks will take."""
        return min(int(self._block_bytes[blocks].sum()), self.values.nbytes - self.bytes)

    def mark(self, blocks: Blocks) -> None:
        """These have been made."""
        self.bytes += self.cost(blocks)
        self.made |= blocks
        self.whole = bool(self.made.all())


def pieces(wanted: Blocks, most: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles that cover what is wanted, each of at most ``most`` blocks and well filled."""
    pending = [(slice(0, wanted.shape[0]), slice(0, wanted.shape[1]))]
    while pending:
        rows, columns = pending.pop()
        part = wanted[rows, columns]
        if not part.any():
            continue
        lines, across = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
        rows = slice(rows.start + int(lines[0]), rows.start + int(lines[-1]) + 1)
        columns = slice(columns.start + int(across[0]), columns.start + int(across[-1]) + 1)
        part = wanted[rows, columns]
        if part.size == 1 or (part.size <= most and part.sum() >= _FILLED * part.size):
            yield rows, columns
        elif part.shape[0] >= part.shape[1]:
            middle = (rows.start + rows.stop) // 2
            pending += [(slice(rows.start, middle), columns), (slice(middle, rows.stop), columns)]
        else:
            middle = (columns.start + columns.stop) // 2
            pending += [(rows, slice(columns.start, middle)), (rows, slice(middle, columns.stop))]


def rectangles(missing: Blocks, piece: tuple[slice, slice], target: Cells) -> Iterator[tuple[slice, slice]]:
    """The cells of the missing blocks of a piece, as runs of blocks in a row, or as one where all are."""
    rows, columns = piece
    runs = []
    if missing[piece].all():
        runs.append((rows, columns))
    else:
        for row in range(rows.start, rows.stop):
            edges = np.flatnonzero(np.diff(np.pad(missing[row, columns].astype(np.int8), 1)))
            for first, stop in edges.reshape(-1, 2).tolist():
                runs.append((slice(row, row + 1), slice(columns.start + first, columns.start + stop)))
    for run in runs:
        down, right = (slice(e.start * target.block, min(e.stop * target.block, target.side)) for e in run)
        yield down, right


def tiles(blocks: Blocks, per_block: int) -> NDArray[np.int32]:
    """The numbers of the tiles of these blocks, with one tile around all of them."""
    tiles = np.pad(blocks.repeat(per_block, axis=0).repeat(per_block, axis=1), 1)
    return np.flatnonzero(tiles).astype(np.int32)


def cut(values: Tensor, top: int, left: int, part: Tensor) -> None:
    """The values from (top, left) on, zeros outside the frame, into ``part``."""
    height, width = part.shape[:2]
    rows = slice(max(-top, 0), min(values.shape[0] - top, height))
    columns = slice(max(-left, 0), min(values.shape[1] - left, width))
    if (rows, columns) != (slice(0, height), slice(0, width)):
        part.zero_()
    part[rows, columns].copy_(
        values[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    )
