"""What the HTTP side talks to: a service that answers tasks, in this process or on Ray."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from stylemap.serving.engine import Engine, Read, Result
from stylemap.serving.work import About, Answer, Task

T = TypeVar("T")
_IO_THREADS = 2
_FIRST = 0.5  # seconds that a request takes, before any was timed


class Busy(Exception):
    """As many requests wait as may. seconds: after which it is worth asking again."""

    def __init__(self, seconds: int) -> None:
        super().__init__("the server is busy: try again later")
        self.seconds = seconds


class Gone(Exception):
    """No replica answers."""


class Service(Protocol):
    """Answers tasks."""

    async def answer(self, task: Task) -> Answer:
        """The answer to a task. Raises Busy or Gone."""

    async def about(self) -> About:
        """The model. Raises Gone."""

    async def close(self) -> None:
        """End it."""


@dataclass(eq=False)
class _Waiting:
    read: Read
    done: Future[Result]


class Local:
    """An engine in this process: a thread for the model, and some for reading and writing.

    Whatever waits when the model is free is taken at once, up to ``batch`` tasks.
    """

    def __init__(self, engine: Engine, queue: int, batch: int) -> None:
        self.engine = engine
        self._most, self._batch = queue + batch, batch
        self._seconds = _FIRST
        self._inside = 0
        self._waiting: deque[_Waiting] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(_IO_THREADS, "stylemap-io")
        self._thread = threading.Thread(target=self._run, name="stylemap-model", daemon=True)
        self._thread.start()

    async def answer(self, task: Task) -> Answer:
        """The answer to a task; a caller who gives up before the model begins costs no time of it."""
        if self._inside >= self._most:
            raise Busy(max(1, math.ceil(self._inside * self._seconds)))
        self._inside += 1
        try:
            read = await self._in_pool(self.engine.read, task)
            waiting = _Waiting(read, Future())
            with self._condition:
                if self._closed:
                    raise Gone("the server ends")
                self._waiting.append(waiting)
                self._condition.notify()
            result = await asyncio.wrap_future(waiting.done)
            return await self._in_pool(self.engine.written, result)
        finally:
            self._inside -= 1

    async def about(self) -> About:
        """The model."""
        if not self._thread.is_alive():
            raise Gone("the model's thread has ended")
        return self.engine.about

    async def close(self) -> None:
        """End the threads; what waits is not done."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._pool.shutdown(cancel_futures=True)

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        run = functools.partial(work, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    for one in self._waiting:
                        one.done.set_exception(Gone("the server ends"))
                    return
                count = min(self._batch, len(self._waiting))
                taken = [self._waiting.popleft() for _ in range(count)]
            wanted = [one for one in taken if one.done.set_running_or_notify_cancel()]
            if wanted:
                self._work(wanted)

    def _work(self, wanted: list[_Waiting]) -> None:
        start = time.monotonic()
        try:
            results = self.engine.results([one.read for one in wanted])
        except Exception as error:
            for one in wanted:
                one.done.set_exception(error)
            return
        spent = (time.monotonic() - start) / len(wanted)
        self._seconds += 0.2 * (spent - self._seconds)
        for one, result in zip(wanted, results):
            one.done.set_result(result)
