"""The models of a server: one that is open from the start, others that open when they are first chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from starlette.concurrency import run_in_threadpool

from stylemap.editor.clients import Client
from stylemap.editor.studio import Studio

LARGEST = 1024  # side of the published models' images


class Models:
    """Studios by the names of their models.

    Args:
        first: the one that pages open on.
        others: what opens the others, by name; it may raise ValueError or OSError.
    """

    def __init__(self, first: Studio, others: Mapping[str, Callable[[], Studio]] | None = None) -> None:
        self.first = first
        self._others = dict(others or {})
        self._open = {first.name: first}
        #: Side of the largest images that any model may have.
        self.largest = max(first.config.size, LARGEST if self._others else 0)
        self._opening = asyncio.Lock()
        self._running = False
        first.models = self.names

    @property
    def names(self) -> list[str]:
        """Of all models, in the order that they were given in."""
        return [self.first.name, *self._others]

    def __iter__(self) -> Iterator[Studio]:
        """Those that are open."""
        return iter(list(self._open.values()))

    async def get(self, name: str | None) -> Studio:
        """The studio of a model; None for the first.

        Raises:
            KeyError: no such model.
            ValueError, OSError: it cannot be opened.
        """
        if name is None or name in self._open:
            return self.first if name is None else self._open[name]
        async with self._opening:
            if name not in self._open:
                studio = await run_in_threadpool(self._others[name])
                studio.models = self.names
                self._open[name] = studio
                if self._running:
                    studio.scheduler.start()
            return self._open[name]

    def session(self, id: str) -> tuple[Studio, Client] | None:
        """A session, and the studio that it is of."""
        for studio in self:
            client = studio.clients.get(id)
            if client is not None:
                return studio, client
        return None

    def start(self) -> None:
        """Begin to render."""
        self._running = True
        for studio in self:
            studio.scheduler.start()

    def close(self) -> None:
        """End what `start` began."""
        self._running = False
        for studio in self:
            studio.scheduler.close()

    def sweep(self) -> None:
        """Forget idle sessions of all models."""
        for studio in self:
            studio.clients.sweep()
