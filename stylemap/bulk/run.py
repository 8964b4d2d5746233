"""A bulk run from its list of jobs to its manifest, in this process or on Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stylemap.bulk.jobs import Job
from stylemap.bulk.publish import Place
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
        self._place = Place(settings.publish) if settings.publish else None
        if self._place is not None:
            self._place.pull(self.store.root)
        self.store.begin(settings.facts())
        self.chunks = self.store.plan(jobs, settings.chunk)
        if self._place is not None:
            self._place.put(self.store.root, self.store.plan_paths)
        if retry_failed:
            for path in self.store.forget_failed(self.chunks):
                if self._place is not None:
                    self._place.remove(self.store.root, path)
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
        found = self.store.finish(self.chunks)
        if self._place is not None:
            self._place.put(self.store.root, [self.store.manifest_path])
        return found
