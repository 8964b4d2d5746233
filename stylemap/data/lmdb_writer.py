"""Write the published LMDB layout, in parallel. An interrupted write can be resumed."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from stylemap import images
from stylemap.data.faces import render, sample_attributes
from stylemap.data.lmdb_store import (
    LENGTH,
    MAX_READERS,
    WRITING,
    data_file,
    image_key,
    import_lmdb,
    is_store,
    open_store,
    reader,
)
from stylemap.data.protocol import check_size
from stylemap.files import make_folder, write_whole

FORMATS = ("png", "jpg")
_PER_TRANSACTION = 128
_MAX_BYTES = 1 << 28  # of the pixels of a transaction
_FIRST_MAP = 1 << 28  # bytes; doubled whenever the map is full
_LOCK_BYTES = 128 * (MAX_READERS + 1)  # of the lock file: 64 for a reader and for each of its few locks
_LITTLE = 1 << 20  # bytes free on a disk that is full: what fits less than a transaction

Encoded = dict[int, bytes]  # size -> encoded image


@dataclass
class Progress:
    """The progress of a write. Every transaction stores it in the LMDB until the write is complete."""

    fingerprint: str  # of the sources and the settings
    position: int = 0  # sources dealt with
    written: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def write_folder(
    output: str | os.PathLike[str],
    paths: Sequence[Path],
    sizes: Sequence[int],
    *,
    fit: images.Fit = "crop",
    format: str = "png",
    quality: int = 95,
    skip_corrupt: bool = False,
    workers: int = 2,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Progress:
    """Write image files to an LMDB: each is decoded once and stored at every size.

    After an interruption the same call with the same arguments resumes the write.

    Args:
        format: "png", or "jpg" with ``quality``.
        skip_corrupt: leave unreadable files out and list them in the result; otherwise they end the write
            with an error naming the file, and what was written stays resumable.
        progress: wraps the positions still to do, to show a bar.

    Raises:
        ImageError: a bad file.
        ValueError: ``output`` is complete, or was begun with other sources or settings.
        OSError: the disk is full; the write can be resumed.
    """
    _check(sizes, format)

    def encode(position: int) -> Encoded:
        picture = images.open_rgb(paths[position])
        return {size: encoded(images.fit_square(picture, size, fit), format, quality) for size in sizes}

    settings = [list(sizes), fit, format, quality, [[str(p), _bytes(p)] for p in paths]]
    names = [str(path) for path in paths]
    return write(
        output,
        encode,
        names,
        settings,
        skip_corrupt=skip_corrupt,
        workers=workers,
        progress=progress,
        most=_most(sizes),
    )


def write_faces(
    output: str | os.PathLike[str],
    count: int,
    seed: int,
    sizes: Sequence[int],
    *,
    format: str = "png",
    quality: int = 95,
    workers: int = 2,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Progress:
    """Write the first ``count`` faces of series ``seed``, drawn at every size; else as `write_folder`."""
    _check(sizes, format)

    def encode(position: int) -> Encoded:
        entry = {}
        for size in sizes:
            pixels = render(sample_attributes(seed, [position]), size)[0][0].permute(1, 2, 0)
            entry[size] = encoded(Image.fromarray(pixels.contiguous().numpy()), format, quality)
        return entry

    settings = ["faces", seed, list(sizes), format, quality]
    names = [f"face {index}" for index in range(count)]
    return write(output, encode, names, settings, workers=workers, progress=progress, most=_most(sizes))


def write(
    output: str | os.PathLike[str],
    encode: Callable[[int], Encoded],
    names: Sequence[str],
    settings: Any,
    *,
    skip_corrupt: bool = False,
    workers: int = 2,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    most: int | None = None,
) -> Progress:
    """Write entries 0 … len(names) − 1 in order. ``encode`` makes them, in ``workers`` threads.

    A write can be resumed only with the same ``settings`` (anything JSON can hold). most: entries in memory
    before they are stored.
    """
    lmdb = import_lmdb()
    path = Path(output)
    if path.exists() and not path.is_dir() and not is_store(path):
        raise FileExistsError(f"cannot write {path}: it is another file, and no LMDB")
    make_folder(path.parent)
    fingerprint = hashlib.sha256(json.dumps([settings, skip_corrupt, len(names)]).encode()).hexdigest()
    reader(path).close()
    environment = None
    try:
        _reserve_lock(path)
        environment = open_store(path, map_size=_FIRST_MAP)
        state = _begin(environment, fingerprint, path)
        todo = range(state.position, len(names))
        most = most or _PER_TRANSACTION
        entries = _in_order(encode, progress(todo), workers, min(4 * workers, max(workers, most)))
        with closing(entries):  # here and not by the collector, which may run in one of the threads it ends
            for batch in _batches(zip(todo, entries), most):
                rows = _sort_out(batch, state, names, skip_corrupt)
                _store(lmdb, environment, rows, state)
        _store(lmdb, environment, [], state, complete=True)
        return state
    except lmdb.Error as error:
        raise OSError(f"cannot write {path}: {_why(path, error)}; run again to go on") from error
    finally:
        if environment is not None:
            environment.close()


def _reserve_lock(path: Path) -> None:
    """Give a new store's lock file its blocks: LMDB maps a hole, which on a full disk ends the process."""
    folder = data_file(path) != path
    lock = path / "lock.mdb" if folder else path.with_name(path.name + "-lock")
    if lock.exists():
        return
    try:
        with write_whole(lock) as file:
            file.write(bytes(_LOCK_BYTES))
    except OSError as error:
        reason = _why(path, error.__cause__ or error)
        raise OSError(f"cannot write {path}: {reason}; run again to go on") from error


def _why(path: Path, error: BaseException) -> str:
    """What keeps from writing. LMDB calls a transaction of which only a part fitted an input/output error."""
    here = path if path.exists() else path.parent
    if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(here).free < _LITTLE:
        return "disk full"
    return getattr(error, "strerror", None) or str(error)


def encoded(picture: Image.Image, format: str, quality: int = 95) -> bytes:
    """An image as PNG or JPEG bytes."""
    out = io.BytesIO()
    if format == "png":
        picture.save(out, "PNG")
    else:
        picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _check(sizes: Sequence[int], format: str) -> None:
    if not sizes or len(set(sizes)) != len(sizes):
        raise ValueError(f"sizes must be different positive numbers, got {list(sizes)}")
    for size in sizes:
        check_size(size)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")


def _most(sizes: Sequence[int]) -> int:
    """Entries of a transaction: fewer of large images, so that memory holds them."""
    return min(_PER_TRANSACTION, max(1, _MAX_BYTES // (3 * sum(size * size for size in sizes))))


def _begin(environment: Any, fingerprint: str, path: Path) -> Progress:
    with environment.begin() as transaction:
        text, length = transaction.get(WRITING), transaction.get(LENGTH)
        empty = transaction.stat()["entries"] == 0
    if length is not None:
        raise ValueError(f"{path} is complete already: it holds {length.decode()} images")
    if text is None and not empty:
        raise ValueError(f"{path} is an LMDB of something else")
    try:
        state = Progress(**json.loads(text)) if text is not None else Progress(fingerprint)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is unfinished and damaged: delete it or choose another name") from error
    if state.fingerprint != fingerprint:
        raise ValueError(f"{path} was begun with other images or settings: delete it or choose another name")
    return state


def _in_order(
    encode: Callable[[int], Encoded], positions: Iterable[int], workers: int, ahead: int
) -> Generator[Future[Encoded], None, None]:
    """Futures in the order of the positions; at most ``ahead`` of them are begun and not yet taken."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[Future[Encoded]] = deque()
        try:
            for position in positions:
                waiting.append(pool.submit(encode, position))
                if len(waiting) >= ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def _bytes(path: Path) -> int:
    """The size of a file; -1 for none, which is told when it is read."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _sort_out(
    batch: list[tuple[int, Future[Encoded]]], state: Progress, names: Sequence[str], skip_corrupt: bool
) -> list[tuple[int, Encoded]]:
    """The entries of a batch with their indices; moves ``state`` past it."""
    rows = []
    for position, future in batch:
        try:
            rows.append((state.written, future.result()))
            state.written += 1
        except (images.ImageError, OSError) as error:
            if not skip_corrupt:
                raise
            state.skipped.append((names[position], str(error)))
        state.position = position + 1
    return rows


def _store(
    lmdb: Any, environment: Any, rows: list[tuple[int, Encoded]], state: Progress, complete: bool = False
) -> None:
    """Store images and state in one transaction, so that the two always agree on disk."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for index, entry in rows:
                    for size, data in entry.items():
                        transaction.put(image_key(size, index), data)
                if complete:
                    transaction.delete(WRITING)
                    transaction.put(LENGTH, str(state.written).encode())
                else:
                    transaction.put(WRITING, json.dumps(asdict(state)).encode())
            return
        except lmdb.MapFullError:
            environment.set_mapsize(environment.info()["map_size"] * 2)
