"""The kernels that `stylemap.ops.autotune` found fastest, kept in a file of this machine.

Choosing takes seconds, and compiling the candidates first takes many: once per machine is enough.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from stylemap.ops import autotune

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_read: set[Path] = set()


def file() -> Path:
    """The file of this machine's choices; $STYLEMAP_CACHE or the user's cache folder holds it."""
    base = os.environ.get("STYLEMAP_CACHE")
    folder = (
        Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylemap"
    )
    return folder / "passes.json"


def recall() -> None:
    """Take over what the file holds, once per process; one that cannot be read is as none."""
    with _lock, contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if file() not in _read:
            _read.add(file())
            autotune.load(file())


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Write the file if choices are made inside."""
    before = len(autotune.choices)
    yield
    if len(autotune.choices) == before:
        return
    try:
        with _lock:
            file().parent.mkdir(parents=True, exist_ok=True)
            autotune.save(file())
    except OSError as error:  # without a writable home the next process measures again
        _log.info("the choice of kernels is not kept: %s", error)
