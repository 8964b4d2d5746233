"""``pytest -p tests.cuda.sass.plugin``: ``stylemap.ops`` runs on the kernels' sm_90 machine code.

The environment comes from `tests.cuda.sass.build.Built`; STYLEMAP_SASS_ORDER is a seed that shuffles
blocks and warps. Every tensor's memory is watched: an access outside of its storage is a fault.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

from stylemap import _build

LIBRARY = "STYLEMAP_SASS_LIBRARY"


def copied(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """A copy in watched memory; torch's own takes it from the default allocator, whichever is set."""
    return torch.empty(storage.nbytes(), dtype=torch.uint8).untyped_storage().copy_(storage)


def pytest_load_initial_conftests() -> None:
    library = Path(os.environ[LIBRARY])
    ctypes.CDLL(str(library)).sass_watch_torch()
    torch.UntypedStorage.clone = copied  # type: ignore[method-assign]
    _build.ensure = lambda name="cpu": library  # type: ignore[assignment]


def pytest_terminal_summary(terminalreporter: object) -> None:
    counts = (ctypes.c_uint64 * 4)()
    ctypes.CDLL(os.environ[LIBRARY]).sass_counts(counts)
    names = ("launches", "warp instructions", "products of matrices", "instructions of diverged warps")
    told = ", ".join(f"{count} {name}" for count, name in zip(counts, names))
    terminalreporter.write_line(f"machine code: {told}")  # type: ignore[attr-defined]
