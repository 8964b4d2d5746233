"""Where the bytes of a photo are: a file, a URL, an entry of an LMDB, a part of a tar file."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any, BinaryIO

from stylemap.bulk.jobs import Job
from stylemap.data.lmdb_store import Reader, reader
from stylemap.optional import require


def is_url(text: str) -> bool:
    """Whether a text is a URL, which fsspec opens, and no path."""
    return "://" in text


def import_fsspec() -> Any:
    """The fsspec module. Raises ImportError, which says how to install it."""
    return require("fsspec", "a URL")


def open_binary(text: str) -> BinaryIO:
    """A file or URL, open for reading.

    Raises:
        ImportError: a URL, and fsspec or the package of its protocol is missing.
        OSError: as the file system says.
    """
    if not is_url(text):
        return open(text, "rb")
    file: BinaryIO = import_fsspec().open(text, "rb").open()
    return file


def photo_bytes(job: Job) -> BinaryIO:
    """The encoded photo of a job, as a file in memory.

    Raises:
        OSError, ImportError, ValueError: where it cannot be read.
    """
    if job.span is not None:
        start, length = job.span
        with open_binary(job.original) as file:
            file.seek(start)
            return io.BytesIO(file.read(length))
    if job.entry:
        data = _store(job.original).get(job.entry.encode())
        if data is None:
            raise ValueError(f"{job.label} is missing")
        return io.BytesIO(data)
    with open_binary(job.original) as file:
        return io.BytesIO(file.read())


@functools.lru_cache(maxsize=4)
def _store(path: str) -> Reader:
    """Kept open: readers that nobody holds are closed."""
    return reader(Path(path))
