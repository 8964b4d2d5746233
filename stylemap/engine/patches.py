"""What an edit puts into stylecodes, where these are made anew for each image and nothing is cached."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stylemap.program.ring import CellMask


@dataclass(frozen=True, eq=False)
class Patch:
    """What an edit puts into one stylecode.

    ``cells``: their numbers y·r + x, or None for all of them. ``rows``: of the other image, cells × channels.
    ``weight``: 1 replaces the code's own rows by them, what is less mixes both.
    """

    cells: Tensor | None
    rows: Tensor
    weight: float

    def apply(self, code: Tensor) -> None:
        """Change a code 1×r×r×C in place."""
        rows = code.view(-1, code.shape[-1])
        if self.cells is None:
            rows.lerp_(self.rows, self.weight)
        elif self.weight == 1:
            rows.index_copy_(0, self.cells, self.rows)
        else:
            own = rows.index_select(0, self.cells)
            rows.index_copy_(0, self.cells, own.lerp_(self.rows, self.weight))


def laid(code: Tensor, mask: CellMask, weight: float) -> Patch | None:
    """The patch of a reference, where its mask is on anywhere. code: of its image, 1×C×r×r."""
    if not mask.any or not weight:
        return None
    cells = mask.on.flatten().nonzero().flatten()
    dx, dy = mask.shift
    return Patch(cells, _rows(code).index_select(0, cells - (dy * code.shape[-1] + dx)), weight)


def mixed(code: Tensor, weight: float) -> Patch | None:
    """The patch of a whole stylecode 1×C×r×r of another image."""
    return Patch(None, _rows(code), weight) if weight else None


def _rows(code: Tensor) -> Tensor:
    """(r·r)×C of 1×C×r×r."""
    return code[0].permute(1, 2, 0).reshape(-1, code.shape[1])
