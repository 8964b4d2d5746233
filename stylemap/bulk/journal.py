"""What is done of a chunk: a line before and a line after every batch of rows."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stylemap.files import lock

Row = dict[str, Any]


class Journal:
    """The journal of a chunk, open and locked by this process.

    done: the rows of finished batches, by the index of the job.
    begun: how often each batch was begun and not finished since, by the index of its first job.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.done: dict[int, Row] = {}
        self.begun: Counter[int] = Counter()
        whole = 0
        for line in file:
            try:
                self._note(json.loads(line))
            except (ValueError, TypeError, LookupError):  # the last one, if the process was killed over it
                break
            whole += len(line)
        file.truncate(whole)

    def _note(self, entry: dict[str, Any]) -> None:
        if "begin" in entry:
            self.begun[int(entry["begin"])] += 1
            return
        rows = {int(row["index"]): row for row in entry["rows"]}
        del self.begun[entry["rows"][0]["index"]]
        self.done |= rows

    def begin(self, index: int) -> None:
        """Note that the batch that starts at this job is begun."""
        self._add({"begin": index})

    def finish(self, rows: list[Row]) -> None:
        """Note the rows of a batch whose results are written."""
        self._add({"rows": rows})

    def remove(self) -> None:
        """Delete the file: the chunk is done."""
        self._path.unlink(missing_ok=True)

    def _add(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal of a chunk, once no other process works on it: one that is thought dead may be alive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), "r+b") as file:
        lock(file.fileno())
        yield Journal(file, path)
