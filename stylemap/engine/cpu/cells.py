"""Grids of cells: made block by block, and painted over by edits.

Here are the convolutions that make some blocks or tiles, and what the last edit has written over an
original's maps: it stays, and the next one writes what differs. A cell's maps follow from what its code and
those around it are blends of. Where these are the same as before, the maps have the bits that they would get
again. Rows of the original are saved when they are overwritten for the first time, and put back where no edit
covers them any more, or before anything else reads the original.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylemap.engine.cpu.arena import Arena, empty_on_small_pages
from stylemap.engine.cpu.blocking import UP, Blocking, round_up
from stylemap.engine.cpu.convolution import Convolution
from stylemap.program.ring import Frame, Indices, Labels, Region, dilate, tiles_of, whole_tiles

#: Which blocks of a grid, row by row.
Blocks = NDArray[np.bool_]

_PAGE = 4096
# Blocks of a rectangle that have to be wanted for it to be convolved as a whole.
_FILLED = 0.4
# Side of a block in cells, about; the larger one from a side of 512 on. A brush that moves makes new blocks
# now and then, and a row of a block takes whole pages at any usual number of channels.
_BLOCK, _LARGE_BLOCK, _LARGE_SIDE = 16, 32, 512
# Of what one convolution reads and writes, in bytes.
_SCRATCH = 32 << 20


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


def block_side(conv: Convolution, grid: int, whole: int) -> int:
    """Of the blocks of a convolution's results in cells, whole tiles; grids up to ``whole`` are one block."""
    tile = 4 if conv.mode == UP else conv.tile
    usual = _LARGE_BLOCK if grid >= _LARGE_SIDE else _BLOCK
    return round_up(grid if grid <= whole else usual, tile)


def blocks_read(conv: Convolution, target: Cells, blocks: Blocks, source: Cells) -> Blocks:
    """The blocks of the source that a convolution reads to make blocks of the target."""
    found = np.zeros_like(source.made)
    # The taps reach one cell further; those of an up-convolution are in the tiles beside.
    scale, margin = (2, conv.tile) if conv.mode == UP else (1, 1)
    for place in zip(*blocks.nonzero()):
        ends = []
        for at in place:
            first = int(at) * target.block // scale - margin
            last = min(int(at + 1) * target.block, target.side) // scale + margin
            ends.append(slice(max(first, 0) // source.block, -(-min(last, source.side) // source.block)))
        found[ends[0], ends[1]] = True
    return found


def convolve_blocks(
    arena: Arena, conv: Convolution, source: Cells, target: Cells, missing: Blocks
) -> Iterator[Tensor]:
    """Write the missing blocks of the target, rectangle by rectangle; yields what has been written."""
    channels = source.values.shape[3] + target.values.shape[3]
    most = max(1, _SCRATCH // (4 * channels * target.block**2))
    for piece in pieces(missing, most):
        part, made, top, left = _convolved(arena, conv, source, target, missing, piece)
        for rows, columns in _rectangles(missing, piece, target):
            values = made[0, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            yield target.values[0, rows, columns].copy_(values)
        arena.give(part, made)


def _convolved(
    arena: Arena,
    conv: Convolution,
    source: Cells,
    target: Cells,
    missing: Blocks,
    piece: tuple[slice, slice],
) -> tuple[Tensor, Tensor, int, int]:
    """One rectangle: what it reads, with a whole tile around it, the result, and where that begins."""
    up = conv.mode == UP
    block = target.block // 2 if up else target.block
    top, left = (ends.start * block - conv.tile for ends in piece)
    height, width = ((ends.stop - ends.start) * block + 2 * conv.tile for ends in piece)
    part = arena.take(1, height, width, source.values.shape[3])
    _cut(source.values[0], top, left, part[0])
    if up:
        return part, conv(arena, part)[0], 2 * top, 2 * left
    made = arena.take(1, height, width, target.values.shape[3])
    listed = _tiles(missing[piece], block // conv.tile)
    convolve_tiles(conv, arena, part, torch.from_numpy(listed), made)
    return part, made, top, left


def convolve_tiles(conv: Convolution, arena: Arena, x: Tensor, tiles: Tensor, out: Tensor) -> None:
    """``conv`` of x 1×H×W×C into ``out``, in the listed tiles only (row by row, conv.tile cells wide)."""
    height, width = x.shape[1:3]
    cut = _blocking(conv, len(tiles))
    workspace = conv.workspace(arena, cut, 1, height, width)
    nothing = [None] * 5
    rest = (out, None, workspace, cut.tiles, tiles, *conv.transform)
    torch.ops.stylemap.conv2d(x, conv.packed, conv.bias, conv.slope, conv.mode, *nothing, *rest)
    arena.give(workspace)


def _blocking(conv: Convolution, tiles: int) -> Blocking:
    """One group of all the tiles where the weights are the larger part: they are read once."""
    groups = -(-tiles // 28)
    if conv.taps or conv.bytes > 2 << 20 or groups < torch.get_num_threads():
        return Blocking(True, min(512, max(32, -(-tiles // 4) * 4)))
    return Blocking(False, 28)


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


def _rectangles(missing: Blocks, piece: tuple[slice, slice], target: Cells) -> Iterator[tuple[slice, slice]]:
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


def _tiles(blocks: Blocks, per_block: int) -> NDArray[np.int32]:
    """The numbers of the tiles of these blocks, with one tile around all of them."""
    tiles = np.pad(blocks.repeat(per_block, axis=0).repeat(per_block, axis=1), 1)
    return np.flatnonzero(tiles).astype(np.int32)


def _cut(values: Tensor, top: int, left: int, part: Tensor) -> None:
    """The values from (top, left) on, zeros outside the frame, into ``part``."""
    height, width = part.shape[:2]
    rows = slice(max(-top, 0), min(values.shape[0] - top, height))
    columns = slice(max(-left, 0), min(values.shape[1] - left, width))
    if (rows, columns) != (slice(0, height), slice(0, width)):
        part.zero_()
    part[rows, columns].copy_(
        values[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    )


# Of the rows that are read before they are written elsewhere: they stay in the cache.
_CHUNK = 1 << 20
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Difference:
    """What has to be written at one resolution: ``paste``, then ``tiles``; both together are ``cells``. The
    convolution of the tiles reads the codes of ``inputs``. ``restored``: cells that have been put back.
    """

    paste: list[Region]
    tiles: Tensor
    inputs: list[Region]
    cells: Indices
    restored: Indices


class Painted:
    """The maps of one original at one resolution, and what edits have put there.

    Args:
        maps: of every stylecode there, 1×r×r×M in float32; they are changed.
        dtype: that the original's values have been rounded to.
    """

    def __init__(self, maps: Sequence[Tensor], dtype: torch.dtype) -> None:
        self.rows = [each.view(-1, each.shape[-1]) for each in maps]
        side = maps[0].shape[1]
        self.key: Hashable = None  # of what has been written; None: not known, or nothing
        # Memory that has never been written takes none.
        self._saved = [empty_on_small_pages(*each.shape, dtype=dtype) for each in self.rows]
        self._slots: NDArray[np.int32] = np.full((side, side), -1, dtype=np.int32)  # where rows are saved
        self._free: Indices = np.zeros(0, dtype=np.int64)
        self._top = 0
        self._blends: NDArray[np.int32] = np.zeros((side, side), dtype=np.int32)  # 0: the original's own
        self._convolved: NDArray[np.bool_] = np.zeros((side, side), dtype=np.bool_)
        self._numbers: dict[Hashable, int] = {}  # of blends
        self._next = itertools.count(1)
        self._frame: Frame | None = None  # all that is not the original's own lies in it
        self._wanted = self._blends  # of the frame, once the difference is written

    @property
    def bytes(self) -> int:
        """Of the rows that are saved."""
        return sum(self._top * each[0].nbytes for each in self._saved)

    def before(self, arena: Arena, index: int, cells: Indices) -> Tensor:
        """Rows of the original, float32, from the arena; of cells that have been written."""
        slots = torch.from_numpy(self._slots.ravel()[cells].astype(np.int64))
        kept = gathered(arena, self._saved[index], slots)
        if kept.dtype == torch.float32:
            return kept
        rows = arena.take(*kept.shape).copy_(kept)
        arena.give(kept)
        return rows

    def changed(self) -> Indices:
        """All cells that are not the original's."""
        frame = self._frame
        if frame is None:
            return np.zeros(0, dtype=np.int64)
        return frame.cells(self._slots[frame.here] >= 0)

    def restore(self, arena: Arena) -> None:
        """Make all maps the original's again."""
        self.key = None
        frame = self._frame
        if frame is None:
            return
        self._put_back(arena, self.changed())
        for each, nothing in ((self._slots, -1), (self._blends, 0), (self._convolved, False)):
            each[frame.here] = nothing
        self._free, self._top, self._numbers, self._frame = self._free[:0], 0, {}, None

    def begin(self, arena: Arena, wanted: Labels, blends: Sequence[Hashable], tile: int) -> Difference:
        """Put back and save what an edit needs; what remains to be written is not known until `finish`.

        Args:
            blends: equal for equal blends of codes: of every pattern of ``wanted`` but the first.
        """
        self.key = None
        wanted = wanted.within(wanted.frame if self._frame is None else wanted.frame.around(self._frame))
        frame, ring = wanted.frame, wanted.convolved
        old, was_ring = self._blends[frame.here], self._convolved[frame.here]
        self._numbers = {each: self._numbers.get(each) or next(self._next) for each in blends}
        new = np.array([0, *(self._numbers[each] for each in blends)], dtype=np.int32)[wanted.numbers]
        differs = new != old
        paste = (new != 0) & ~ring
        own = ~(paste | ring)
        # Also those that were convolved and are now pasted, though of the same code.
        paste &= differs | was_ring
        stale = whole_tiles(ring & (~was_ring | dilate(differs)), tile)
        slots = self._slots[frame.here]
        self._frame = frame
        restored = frame.cells(own & (slots >= 0))
        self._release(arena, restored)
        self._save(arena, frame.cells(~own & (slots < 0)))
        self._blends[frame.here] = np.where(paste | stale, _UNKNOWN, new)
        self._convolved[frame.here] = ring
        self._wanted = new
        return Difference(
            wanted.regions(paste),
            torch.from_numpy(tiles_of(stale, frame, tile).astype(np.int32)),
            wanted.regions(dilate(stale)),
            frame.cells(paste | stale),
            restored,
        )

    def finish(self, key: Hashable) -> None:
        """All of the difference has been written."""
        assert self._frame is not None
        self._blends[self._frame.here] = self._wanted
        self.key = key

    def unknown(self) -> None:
        """Something else has been written where an edit is."""
        self.key = None
        if self._frame is not None:
            self._blends[self._frame.here][self._slots[self._frame.here] >= 0] = _UNKNOWN

    def _release(self, arena: Arena, cells: Indices) -> None:
        """Put rows back, whose place is free then."""
        if len(cells):
            self._put_back(arena, cells)
            flat = self._slots.ravel()
            self._free = np.concatenate([self._free, flat[cells].astype(np.int64)])
            flat[cells] = -1

    def _put_back(self, arena: Arena, cells: Indices) -> None:
        for index, rows in enumerate(self.rows):
            for part in parts(cells, rows):
                values = self.before(arena, index, part)
                rows.index_copy_(0, torch.from_numpy(part), values)
                arena.give(values)

    def _save(self, arena: Arena, cells: Indices) -> None:
        """Save rows that nothing has been written to."""
        if not len(cells):
            return
        again = min(len(cells), len(self._free))
        fresh = np.arange(self._top, self._top + len(cells) - again)
        slots = np.concatenate([self._free[len(self._free) - again :], fresh])
        for rows, saved in zip(self.rows, self._saved, strict=True):
            done = 0
            for part in parts(cells, rows):
                values = gathered(arena, rows, torch.from_numpy(part))
                to = torch.from_numpy(slots[done : done + len(part)])
                saved.index_copy_(0, to, values.to(saved.dtype))
                arena.give(values)
                done += len(part)
        self._free = self._free[: len(self._free) - again]
        self._top += len(fresh)
        self._slots.ravel()[cells] = slots


def parts(cells: Indices, rows: Tensor) -> Iterator[Indices]:
    """The cells in runs whose rows, in float32, fit into the cache."""
    step = max(1, _CHUNK // (4 * rows.shape[1]))
    for start in range(0, len(cells), step):
        yield cells[start : start + step]


def gathered(arena: Arena, rows: Tensor, cells: Tensor) -> Tensor:
    """These rows, from the arena, where memory is at hand."""
    out = arena.take(len(cells), rows.shape[1], dtype=rows.dtype)
    return torch.index_select(rows, 0, cells, out=out)
