"""Where the bytes of a photo are: a file, a URL, an entry of an LMDB, a part of a tar file."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import BinaryIO

from stylemap.bulk.jobs import Job
from stylemap.data.blobs import naming, open_binary
from stylemap.data.lmdb_store import Reader, reader

_MOST_BYTES = 1 << 30  # of one file: as many as the largest image has, not compressed


def photo_bytes(job: Job) -> BinaryIO:
    """The encoded photo of a job, as a file in memory.

    Raises:
        OSError, ImportError, ValueError: where it cannot be read.
    """
    if job.span is not None:
        start, length = job.span
        with naming(job.original), open_binary(job.original) as file:
            file.seek(start)
            return io.BytesIO(file.read(length))
    if job.entry:
        data = _store(job.original).get(job.entry.encode())
        if data is None:
            raise ValueError(f"{job.label} is missing")
        return io.BytesIO(data)
    with naming(job.original), open_binary(job.original) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{job.label} has more than {_MOST_BYTES >> 20} MiB: too large for an image")
    return io.BytesIO(data)


@functools.lru_cache(maxsize=4)
def _store(path: str) -> Reader:
    """Kept open: readers that nobody holds are closed."""
    return reader(Path(path))
