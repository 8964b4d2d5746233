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
from typing import Any

from torch import Tensor

from stylemap import images
from stylemap.bulk import stylemaps
from stylemap.bulk.engine import Engine
from stylemap.bulk.jobs import Job
from stylemap.bulk.journal import Journal, Row, open_journal
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
            with write_whole(self._store.manifest(chunk)) as file:
                file.write(text.encode())
            journal.remove()

    def _rows(self, chunk: Chunk, jobs: Sequence[Job], journal: Journal) -> dict[int, Row]:
        """Compute and write the missing rows; all rows, by the index of the job."""
        rows = dict(journal.done)
        maps: dict[int, Tensor] = {}
        files: dict[int, Future[bytes]] = {}
        writing: deque[tuple[list[Row], list[Future[Any]]]] = deque()
        for batch in self._read(jobs, journal):
            start = time.perf_counter()
            photos = [photo.result() for photo in batch.photos]
            results = self._engine.results(list(zip(batch.jobs, photos)))
            seconds = (time.perf_counter() - start) / len(batch.jobs)
            made: list[Row] = []
            saves: list[Future[Any]] = []
            for job, result in zip(batch.jobs, results):
                made.append(self._row(chunk, job, result, seconds))
                if isinstance(result, str):
                    continue
                if self._settings.operation == "encode":
                    maps[job.index] = result
                elif self._settings.shards:
                    files[job.index] = self._pool.submit(_file, result, self._settings.kind)
                    saves.append(files[job.index])
                else:
                    saves.append(self._pool.submit(images.save, result, self._store.image(chunk, job)))
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

    def _row(self, chunk: Chunk, job: Job, result: Tensor | str, seconds: float) -> Row:
        failed = isinstance(result, str)
        if failed and self._settings.fail_fast:
            raise ValueError(f"row {job.index}, {job.label or 'no original'}: {result}")
        path, member = self._store.stylemaps(chunk), ""
        if self._settings.operation != "encode":
            path = self._store.image(chunk, job)
            if self._settings.shards:
                path, member = self._store.shard(chunk), f"#{self._store.member(job)}"
        return {
            "index": job.index,
            "name": job.name,
            "original": job.label,
            "output": None if failed else path.relative_to(self._store.root).as_posix() + member,
            "status": "error" if failed else "ok",
            "error": result if failed else None,
            "seconds": round(seconds, 4),
        }


def _file(image: Tensor, kind: str) -> bytes:
    """The bytes that `images.save` writes to a file with this suffix."""
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
