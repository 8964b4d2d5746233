"""A worker: takes chunks, reads ahead, computes, writes behind, and keeps the journal."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from stylemap import images
from stylemap.bulk import stylemaps
from stylemap.bulk.engine import Engine, Pair
from stylemap.bulk.jobs import Job
from stylemap.bulk.journal import Journal, Row, open_journal
from stylemap.bulk.publish import Place
from stylemap.bulk.settings import Settings
from stylemap.bulk.store import Chunk, Store
from stylemap.data.blobs import write_tar
from stylemap.files import write_whole

_KILLED = 5  # times: then a batch is at fault, not the machine
_IO_THREADS = 2


@dataclass
class _Batch:
    """Jobs whose photos are being read."""

    jobs: Sequence[Job]
    photos: Sequence[Future[Tensor | str]]


class Worker:
    """Does chunks of a run, one after the other, with one model."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.output, settings.kind)
        self._place = Place(settings.publish) if settings.publish else None
        self._engine = Engine(settings)
        self._pool = ThreadPoolExecutor(max(_IO_THREADS, settings.threads or 0))

    @property
    def _at_once(self) -> bool:
        """Whether the results of a chunk are one file, written at its end."""
        return self._settings.operation == "encode" or self._settings.shards

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def work(self, chunk: Chunk) -> None:
        """Do what is missing of a chunk.

        Raises:
            ValueError: a row failed, and the run is to stop at the first.
            OSError: a result cannot be written.
        """
        if self._place is not None:
            for path in self._store.plan_paths:
                self._place.fetch(self._store.root, path.name)
        with open_journal(self._store.journal(chunk)) as journal:
            if self._store.is_done(chunk):
                journal.remove()
                return
            self._store.sweep(chunk)
            jobs = self._store.jobs(chunk)
            if self._at_once:
                journal.done = {}
            rows = self._rows(chunk, jobs, journal)
            text = "".join(json.dumps(rows[job.index]) + "\n" for job in jobs)
            made = self._store.results(chunk) if self._place is not None else []
            if self._place is not None:
                self._place.put(self._store.root, made)
                self._place.write(f"manifest/{self._store.manifest(chunk).name}", text.encode())
            with write_whole(self._store.manifest(chunk)) as file:
                file.write(text.encode())
            journal.remove()
            for path in made:
                path.unlink(missing_ok=True)

    def _rows(self, chunk: Chunk, jobs: Sequence[Job], journal: Journal) -> dict[int, Row]:
        """Compute and write the missing rows; all rows, by the index of the job."""
        rows = dict(journal.done)
        maps: dict[int, Tensor] = {}
        files: dict[int, Future[bytes]] = {}
        writing: deque[tuple[list[Row], list[Future[Any]]]] = deque()
        for batch in self._read(jobs, journal):
            start = time.perf_counter()
            photos = [photo.result() for photo in batch.photos]
            results = self._whole(batch.jobs, self._engine.results(list(zip(batch.jobs, photos))))
            seconds = (time.perf_counter() - start) / len(batch.jobs)
            made: list[Row] = []
            saves: list[Future[Any]] = []
            for job, result in zip(batch.jobs, results):
                made.append(self._row(chunk, job, result, seconds))
                if isinstance(result, str):
                    continue
                if self._settings.operation == "encode":
                    maps[job.index] = cast("Tensor", result)
                elif self._settings.shards:
                    files[job.index] = self._pool.submit(_file, result, self._settings.kind)
                    saves.append(files[job.index])
                else:
                    saves.append(self._pool.submit(_save, result, self._store.image(chunk, job)))
            writing.append((made, saves))
            if journal.begun or len(writing) > 1:
                _written(writing.popleft(), journal, rows)
        while writing:
            _written(writing.popleft(), journal, rows)
        if self._settings.operation == "encode":
            kept = [job for job in jobs if job.index in maps]
            found = [maps[job.index] for job in kept]
            stylemaps.write(self._store.stylemaps(chunk), kept, found, self._engine.shape)
        elif self._settings.shards:
            named = {self._store.member(job): files[job.index].result() for job in jobs if job.index in files}
            write_tar(self._store.shard(chunk), named)
        return rows

    def _whole(
        self, jobs: Sequence[Job], results: Sequence[Tensor | Pair | str]
    ) -> Sequence[Tensor | bytes | str]:
        """The results, those that go back into their photos as the files of these."""
        return list(self._pool.map(self._engine.pasted, jobs, results))

    def _read(self, jobs: Sequence[Job], journal: Journal) -> Iterator[_Batch]:
        """The batches that are missing, each with the next one being read meanwhile.

        After a kill one at a time, so that what is begun and never finished is what kills.
        """
        size = self._settings.batch
        batches = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        missing = [batch for batch in batches if batch[0].index not in journal.done]
        ahead = 0 if journal.begun else 1
        counts = dict(journal.begun)
        started: deque[_Batch] = deque()
        todo = iter(missing)
        while True:
            for batch in itertools.islice(todo, 1 + ahead - len(started)):
                journal.begin(batch[0].index)
                deadly = counts.get(batch[0].index, 0) >= _KILLED
                read = _deadly if deadly else self._engine.read
                started.append(_Batch(batch, [self._pool.submit(read, job) for job in batch]))
            if not started:
                return
            yield started.popleft()

    def _row(self, chunk: Chunk, job: Job, result: Tensor | bytes | str, seconds: float) -> Row:
        fault = result if isinstance(result, str) else None
        if fault is not None and self._settings.fail_fast:
            raise ValueError(f"row {job.index}, {job.label or 'no original'}: {fault}")
        path, member = self._store.stylemaps(chunk), ""
        if self._settings.operation != "encode":
            path = self._store.image(chunk, job)
            if self._settings.shards:
                path, member = self._store.shard(chunk), f"#{self._store.member(job)}"
        return {
            "index": job.index,
            "name": job.name,
            "original": job.label,
            "output": None if fault is not None else path.relative_to(self._store.root).as_posix() + member,
            "status": "ok" if fault is None else "error",
            "error": fault,
            "seconds": round(seconds, 4),
        }


def _save(image: Tensor | bytes, path: Path) -> None:
    if isinstance(image, Tensor):
        images.save(image, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        file.write(image)


def _file(image: Tensor | bytes, kind: str) -> bytes:
    """The bytes that `images.save` writes to a file with this suffix."""
    if isinstance(image, bytes):
        return image
    form, buffer = images.WRITE_FORMATS[kind], io.BytesIO()
    images.to_image(image).save(buffer, form, **images.WRITE_OPTIONS.get(form, {}))
    return buffer.getvalue()


def _deadly(job: Job) -> str:
    return f"its batch was begun {_KILLED} times, and the worker died each time"


def _written(batch: tuple[list[Row], list[Future[Any]]], journal: Journal, rows: dict[int, Row]) -> None:
    made, saves = batch
    for save in saves:
        save.result()
    journal.finish(made)
    rows |= {row["index"]: row for row in made}
