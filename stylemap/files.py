"""Write a file whole or not at all; lock one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block succeeds.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed to ``path``.
    After a failure ``path`` is as before. A missing folder is created.

    Raises:
        OSError: naming ``path``, when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
    except OSError as error:
        raise _named(error, target) from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except OSError as error:
        raise _named(error, target) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock an open file or folder for this process alone, until it is closed.

    Raises:
        BlockingIOError: without ``wait``, where another process has it.
        NotImplementedError: the platform has no such locks (Windows).
    """
    try:
        import fcntl
    except ImportError:
        raise NotImplementedError("this platform lacks flock, by which a folder is locked") from None
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _named(error: OSError, target: Path) -> OSError:
    return type(error)(f"cannot write {target}: {error.strerror or error}")


def _umask() -> int:
    # The mask can only be read by setting it; mkstemp's 0600 would otherwise stay on the result.
    current = os.umask(0)
    os.umask(current)
    return current
