"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write ``path`` through: it appears complete on success, and not at all otherwise.

    The bytes go to a temporary file in the same folder, reach the disk, and are renamed over ``path``;
    a file that was there before survives any failure. The folder is created when it is missing.

    Raises:
        OSError: naming ``path``, when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _named(error, target) from error
    try:
        with os.fdopen(handle, "wb") as file:
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


def _named(error: OSError, target: Path) -> OSError:
    return type(error)(f"cannot write {target}: {error.strerror or error}")


def _umask() -> int:
    # The mask can only be read by setting it; mkstemp's 0600 would otherwise stay on the result.
    current = os.umask(0)
    os.umask(current)
    return current
