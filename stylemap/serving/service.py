"""What the HTTP side talks to: a service that answers tasks, in this process or on Ray."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from stylemap.serving.engine import Engine, Read, Result
from stylemap.serving.work import About, Answer, Task

T = TypeVar("T")
_IO_THREADS = 2
_SHARE = 0.2  # of the newest time in the average
_LONGEST = 60.0  # seconds that anybody is told to stay away
_FEW = 4  # requests: of so few the time that they take is not told from chance


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


class Admission:
    """Lets requests in that can be answered in time, by how fast the answers came so far.

    Args:
        most: requests inside; None where somebody else counts them.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.inside = 0
        self._seconds = 0.0  # from answer to answer, while some are wanted
        self._since = time.monotonic()  # of the last answer, or since when some are wanted
        self._next = 0.0  # when the last one that was refused is to come again

    @contextlib.contextmanager
    def admitted(self, until: float) -> Iterator[None]:
        """A request is inside, which is wanted until then (`time.time`).

        Raises:
            Busy: there are as many as may be, or those before it take longer than it has.
        """
        wait = self.inside * max(self._seconds, self._pause if self.inside else 0.0)
        late = self.inside > _FEW and time.time() + wait > until
        if late or (self._most is not None and self.inside >= self._most):
            raise self.busy()
        if not self.inside:
            self._since = time.monotonic()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def answered(self) -> None:
        """One of those inside has its answer."""
        self._seconds += (_SHARE if self._seconds else 1.0) * (self._pause - self._seconds)
        self._since = time.monotonic()

    def busy(self) -> Busy:
        """What one who is refused is told: to come again when it is his turn.

        All those who are refused come one after the other, half as fast as answers are made: if they came
        together, refusing them again and again would take the time in which they could be answered.
        """
        now, pace = time.monotonic(), max(self._seconds, self._pause if self.inside else 0.0)
        self._next = min(max(self._next + 2 * pace, now + self.inside * pace), now + _LONGEST)
        return Busy(max(1, math.ceil(self._next - now)))

    @property
    def _pause(self) -> float:
        return time.monotonic() - self._since


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
        self._batch = batch
        self.admission = Admission(queue + batch)
        self._waiting: deque[_Waiting] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(_IO_THREADS, "stylemap-io")
        self._thread = threading.Thread(target=self._run, name="stylemap-model", daemon=True)
        self._thread.start()

    async def answer(self, task: Task) -> Answer:
        """The answer to a task; a caller who gives up before the model begins costs no time of it."""
        with self.admission.admitted(task.until):
            read = await self._in_pool(self.engine.read, task)
            waiting = _Waiting(read, Future())
            with self._condition:
                if self._closed:
                    raise Gone("the server ends")
                self._waiting.append(waiting)
                self._condition.notify()
            result = await asyncio.wrap_future(waiting.done)
            answer = await self._in_pool(self.engine.written, result)
            self.admission.answered()
            return answer

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
        try:
            results = self.engine.results([one.read for one in wanted])
        except Exception as error:
            for one in wanted:
                one.done.set_exception(error)
            return
        for one, result in zip(wanted, results):
            one.done.set_result(result)
