"""Tables of jobs: CSV, JSON lines, Parquet; read row by row."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stylemap.data.blobs import naming, open_binary
from stylemap.optional import require

T = TypeVar("T")
_KINDS = (".csv", ".jsonl", ".ndjson", ".parquet")
_BATCH = 1024
_MAX_LINE = 1 << 24


def is_table(source: str) -> bool:
    """Whether a path or URL ends as a table of jobs does, and no folder has that name."""
    return _kind(source) in _KINDS and not os.path.isdir(source)


def import_pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet.

    Raises:
        ImportError: with what to install, where they are missing.
    """
    parquet = require("pyarrow.parquet", "Parquet")
    return require("pyarrow", "Parquet"), parquet


@dataclass(frozen=True)
class Table:
    """The rows of a table; a text in place of a row says why it is none.

    folder: of the file, where relative paths begin.
    """

    source: str
    columns: Sequence[str]

    @property
    def folder(self) -> str:
        """Of the file: its absolute path, or its URL."""
        return os.path.dirname(self.source if "://" in self.source else os.path.abspath(self.source))

    def __iter__(self) -> Iterator[Mapping[str, Any] | str]:
        rows = _rows(self.source)
        while True:
            row = _readable(self.source, lambda: next(rows, None))
            if row is None:
                return
            yield row


def open_table(source: str) -> Table:
    """A table.

    Raises:
        ValueError: it has no rows, or another content than its name says.
        ImportError, OSError: it cannot be read.
    """
    return Table(source, _columns(source))


def check_columns(table: Table, options: Sequence[str]) -> None:
    """Raises ValueError where a table lacks ``original`` or has a column that would be ignored."""
    known = known_columns(options)
    if "original" not in table.columns:
        raise ValueError(f"{table.source} has no column 'original', but {', '.join(table.columns) or 'none'}")
    for column in table.columns:
        if column not in known:
            raise ValueError(
                f"{table.source}: no parameter is called {column!r}; there are {', '.join(known)}"
            )


def known_columns(options: Sequence[str]) -> tuple[str, ...]:
    """The columns that a table of an operation with these parameters may have."""
    return ("original", "name", *options)


def _kind(source: str) -> str:
    return Path(source).suffix.lower()


def _columns(source: str) -> list[str]:
    if _kind(source) == ".parquet":
        _, parquet = import_pyarrow()
        with open_binary(source) as file:
            return _readable(source, lambda: list(parquet.ParquetFile(file).schema_arrow.names))
    if _kind(source) == ".csv":
        with _text(source) as file:
            return _readable(source, lambda: list(csv.DictReader(_lines(file)).fieldnames or []))
    # The first line alone: a key that comes later makes its own row a fault.
    first = _readable(source, lambda: next(_rows(source), None))
    if first is None or isinstance(first, str):
        raise ValueError(f"{source}: {first or 'no rows'}")
    return list(first)


def _readable(source: str, read: Callable[[], T]) -> T:
    try:
        with naming(source):
            return read()
    except (csv.Error, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise ValueError(f"{source} is no table: {' '.join(str(error).split())}") from error


def _text(source: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_binary(source), encoding="utf-8-sig", newline="")


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file. Raises ValueError for one that no table has: a file may be one without end."""
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise ValueError(f"its line {number} has more than {_MAX_LINE} characters")
        yield line


def _rows(source: str) -> Iterator[Mapping[str, Any] | str]:
    if _kind(source) == ".parquet":
        _, parquet = import_pyarrow()
        with open_binary(source) as file:
            for batch in parquet.ParquetFile(file).iter_batches(_BATCH):
                yield from batch.to_pylist()
    elif _kind(source) == ".csv":
        with _text(source) as file:
            for row in csv.DictReader(_lines(file)):
                yield "more fields than the table has columns" if None in row else row
    else:
        with _text(source) as file:
            for line in _lines(file):
                if line.strip():
                    yield _of_json(line)


def _of_json(line: str) -> Mapping[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    return row if isinstance(row, dict) else f"no JSON object: {line.strip()[:80]}"
