"""The jobs of an input, one after the other, in an order that depends on nothing but the input."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylemap import images
from stylemap.bulk import tables
from stylemap.bulk.jobs import OPERATIONS, REQUIRED, Job, checked, safe_name
from stylemap.data.blobs import file_system, is_url, members, naming
from stylemap.data.lmdb_store import image_key, is_store, reader
from stylemap.edit import masks


@dataclass(frozen=True)
class _Found:
    """An original before it has a number: see `Job`."""

    original: str
    entry: str = ""
    span: tuple[int, int] | None = None


def list_jobs(
    source: str,
    operation: str,
    options: Mapping[str, Any] | None = None,
    *,
    recursive: bool = False,
    size: int = 0,
) -> Iterator[Job]:
    """The jobs of an input.

    Args:
        source: a folder, a glob, one image, an LMDB in the published layout, tar files of images, or a table
            (`tables`): a path or a URL.
        operation: a name in `OPERATIONS`.
        options: parameters of every job; the columns of a table come first.
        recursive: the images of sub-folders as well.
        size: of the model's images: which images of an LMDB with several sizes are taken.

    Raises:
        ValueError: a parameter that the operation does not have or that is missing, a table without a column
            ``original``, nothing to do. A row that is wrong is a job with a ``fault``.
        OSError, ImportError: the input cannot be read.
    """
    given = {name: _anchored(name, value, "") for name, value in (options or {}).items() if value is not None}
    for name in given:
        if name not in OPERATIONS[operation]:
            raise ValueError(f"{operation} takes no {name}")
    given = {name: checked(name, value) for name, value in given.items()}
    if tables.is_table(source):
        rows = tables.open_table(source)
        _demand(operation, {*given, *rows.columns}, source)
        tables.check_columns(rows, OPERATIONS[operation])
        jobs = (_of_row(i, row, operation, given, rows.folder) for i, row in enumerate(rows))
    else:
        _demand(operation, set(given), source)
        found = _found(source, recursive, size)
        jobs = (_job(i, each, given) for i, each in enumerate(found))
    first = next(jobs, None)
    if first is None and tables.is_table(source):
        raise ValueError(f"{source}: no rows")
    if first is None:
        raise ValueError(f"{source} holds no images" + ("" if recursive else " (sub-folders: --recursive)"))
    return itertools.chain([first], jobs)


def _demand(operation: str, named: set[str], source: str) -> None:
    for name in REQUIRED[operation]:
        if name not in named:
            raise ValueError(
                f"{operation} needs a {name}: --{name}, or a column of a table of jobs ({source})"
            )


def _job(index: int, found: _Found, options: Mapping[str, Any]) -> Job:
    stem = Path(found.entry or found.original).stem
    return Job(index, safe_name(stem), found.original, found.entry, found.span, options)


def _of_row(
    index: int, row: Mapping[str, Any] | str, operation: str, given: Mapping[str, Any], folder: str
) -> Job:
    if isinstance(row, str):
        return Job(index, "_", "", fault=row)
    original = row.get("original")
    if not isinstance(original, str) or not original:
        return Job(index, "_", "", fault="the row names no original")
    path = _absolute(original, folder)
    name = safe_name(str(row.get("name") or Path(path).stem))
    options = dict(given)
    known = tables.known_columns(OPERATIONS[operation])
    try:
        unknown = [key for key in row if key not in known]
        if unknown:
            raise ValueError(f"no parameter is called {unknown[0]!r}; there are {', '.join(known)}")
        for key in OPERATIONS[operation]:
            if row.get(key) not in (None, ""):
                options[key] = checked(key, _anchored(key, row[key], folder))
        missing = [key for key in REQUIRED[operation] if key not in options]
        if missing:
            raise ValueError(f"the row has no {missing[0]}")
    except ValueError as error:
        return Job(index, name, path, fault=str(error))
    return Job(index, name, path, options=options)


def _anchored(name: str, value: Any, folder: str) -> Any:
    """A parameter that names a file, with the file's absolute path: workers have folders of their own."""
    if not isinstance(value, str):
        return value
    if name == "reference" or (name == "mask" and not masks.is_shape(value)):
        return _absolute(value, folder)
    if name == "direction":
        file, colon, rest = value.rpartition(":")
        for path, end in ((value, ""), (file, colon + rest)):
            if path and os.path.exists(_absolute(path, folder)):
                return _absolute(path, folder) + end
    return value


def _absolute(path: str, folder: str) -> str:
    if is_url(path):
        return path
    if is_url(folder):
        return f"{folder}/{path}"
    return os.path.abspath(os.path.join(folder, path))


def _found(source: str, recursive: bool, size: int) -> Iterator[_Found]:
    if is_url(source):
        yield from _in_url(source)
    elif is_store(source):
        yield from _in_store(Path(source), size)
    elif os.path.isdir(source):
        yield from _in_folder(Path(os.path.abspath(source)), recursive)
    elif os.path.exists(source):
        yield from _in_file(os.path.abspath(source))
    elif glob.has_magic(source):
        for path in sorted(glob.iglob(source, recursive=True)):
            if os.path.isfile(path):
                yield from _in_file(os.path.abspath(path))
    else:
        raise FileNotFoundError(f"no such file or folder: {source}")


def _in_file(path: str) -> Iterator[_Found]:
    if path.endswith(".tar"):
        yield from _in_tar(path)
    else:
        yield _Found(path)


def _in_folder(folder: Path, recursive: bool) -> Iterator[_Found]:
    """The images of one folder after the other: no more than one folder's names are in memory."""
    for path in images.inside(folder):
        yield _Found(str(path))
    if recursive:
        inner = (entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        for name in sorted(inner):
            if not os.path.basename(name).startswith("."):
                yield from _in_folder(Path(name), recursive)


def _in_store(path: Path, size: int) -> Iterator[_Found]:
    """The images of the model's size, or where there are none of the largest one there."""
    store = reader(path)
    sizes = store.sizes()
    if not sizes:
        return
    chosen = size if size in sizes else sizes[-1]
    length = store.get(b"length")
    if length is None or not length.isdigit():
        raise ValueError(f"{path} is not in the published layout: its key 'length' is missing or no number")
    for index in range(int(length)):
        yield _Found(os.path.abspath(path), image_key(chosen, index).decode())


def _in_tar(path: str) -> Iterator[_Found]:
    for member in members(path):
        yield _Found(path, member.name, (member.start, member.length))


def _in_url(source: str) -> Iterator[_Found]:
    """A file, or all images and tar files below a folder or of a glob, in the order of their names."""
    system, path = file_system(source)
    with naming(source):
        if glob.has_magic(path):
            paths = system.glob(path)
        elif system.isfile(path):
            paths = [path]
        else:
            paths = system.find(path)
            if not paths and not system.exists(path):
                raise FileNotFoundError(f"{source}: no file has this name, and none is below it")
    for each in sorted(paths):
        if each.endswith(".tar"):
            yield from _in_tar(system.unstrip_protocol(each))
        elif Path(each).suffix.lower() in images.SUFFIXES:
            yield _Found(system.unstrip_protocol(each))
