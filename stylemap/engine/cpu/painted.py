"""What the last edit has written over an original's maps: it stays, and the next one writes what differs.

A cell's maps follow from what its code and those around it are blends of. Where these are the same as before,
the maps have the bits that they would get again. Rows of the original are saved when they are overwritten for
the first time, and put back where no edit covers them any more, or before anything else reads the original.
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
from stylemap.program.ring import Frame, Indices, Labels, Region, dilate, tiles_of, whole_tiles

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
