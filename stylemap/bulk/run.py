"""A bulk run from its list of jobs to its manifest, in this process or on Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stylemap.bulk.jobs import Job
from stylemap.bulk.settings import Settings
from stylemap.bulk.store import Chunk, Store
from stylemap.bulk.worker import Worker


class Run:
    """A run whose list of jobs is written; the folder must be `Store.locked` meanwhile.

    chunks: all of them; todo: those that are not done.

    Raises:
        ValueError: the folder holds something else, or the input has changed since the run began.
    """

    def __init__(self, settings: Settings, jobs: Iterable[Job], *, retry_failed: bool = False) -> None:
        self.settings = settings
        self.store = Store(settings.output, settings.kind)
        self.store.begin(settings.facts())
        self.chunks = self.store.plan(jobs, settings.chunk)
        if retry_failed:
            self.store.forget_failed(self.chunks)
        self.todo = [chunk for chunk in self.chunks if not self.store.is_done(chunk)]

    def here(self) -> Iterator[Chunk]:
        """Do what is missing in this process; the chunks, each when it is done."""
        if not self.todo:
            return
        worker = Worker(self.settings)
        try:
            for chunk in self.todo:
                worker.work(chunk)
                yield chunk
        finally:
            worker.close()

    def finish(self) -> tuple[int, int]:
        """Write the whole manifest; how many rows there are, and how many of them failed."""
        return self.store.finish(self.chunks)
