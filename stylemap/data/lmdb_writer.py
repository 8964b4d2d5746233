"""Write the published LMDB layout, in parallel. An interrupted write can be resumed."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from stylemap import images
from stylemap.data.faces import render, sample_attributes
from stylemap.data.lmdb_store import LENGTH, WRITING, image_key, import_lmdb, open_store, reader

FORMATS = ("png", "jpg")
_PER_TRANSACTION = 128
_FIRST_MAP = 1 << 28  # bytes; doubled whenever the map is full

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

    settings = [list(sizes), fit, format, quality, [[str(p), p.stat().st_size] for p in paths]]
    names = [str(path) for path in paths]
    return write(
        output, encode, names, settings, skip_corrupt=skip_corrupt, workers=workers, progress=progress
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
    return write(output, encode, names, settings, workers=workers, progress=progress)


def write(
    output: str | os.PathLike[str],
    encode: Callable[[int], Encoded],
    names: Sequence[str],
    settings: Any,
    *,
    skip_corrupt: bool = False,
    workers: int = 2,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Progress:
    """Write entries 0 … len(names) − 1 in order. ``encode`` makes them, in ``workers`` threads.

    A write can be resumed only with the same ``settings`` (anything JSON can hold).
    """
    lmdb = import_lmdb()
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = hashlib.sha256(json.dumps([settings, skip_corrupt, len(names)]).encode()).hexdigest()
    reader(path).close()
    environment = open_store(path, map_size=_FIRST_MAP)
    try:
        state = _begin(environment, fingerprint, path)
        todo = range(state.position, len(names))
        entries = _in_order(encode, progress(todo), workers)
        for batch in _batches(zip(todo, entries), _PER_TRANSACTION):
            rows = _sort_out(batch, state, names, skip_corrupt)
            _store(lmdb, environment, rows, state)
        _store(lmdb, environment, [], state, complete=True)
        return state
    except lmdb.DiskError as error:
        raise OSError(f"cannot write {path}: {error}; repeat the command to go on") from error
    finally:
        environment.close()


def encoded(picture: Image.Image, format: str, quality: int = 95) -> bytes:
    """An image as PNG or JPEG bytes."""
    out = io.BytesIO()
    if format == "png":
        picture.save(out, "PNG")
    else:
        picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _check(sizes: Sequence[int], format: str) -> None:
    if not sizes or min(sizes) < 1 or len(set(sizes)) != len(sizes):
        raise ValueError(f"sizes must be different positive numbers, got {list(sizes)}")
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")


def _begin(environment: Any, fingerprint: str, path: Path) -> Progress:
    with environment.begin() as transaction:
        text, length = transaction.get(WRITING), transaction.get(LENGTH)
        empty = transaction.stat()["entries"] == 0
    if length is not None:
        raise ValueError(f"{path} is complete already: it holds {length.decode()} images")
    if text is None and not empty:
        raise ValueError(f"{path} is an LMDB of something else")
    state = Progress(**json.loads(text)) if text is not None else Progress(fingerprint)
    if state.fingerprint != fingerprint:
        raise ValueError(f"{path} was begun with other images or settings: delete it or choose another name")
    return state


def _in_order(
    encode: Callable[[int], Encoded], positions: Iterable[int], workers: int
) -> Iterator[Future[Encoded]]:
    """Futures in the order of the positions; a bounded number runs at a time."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[Future[Encoded]] = deque()
        try:
            for position in positions:
                waiting.append(pool.submit(encode, position))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


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
