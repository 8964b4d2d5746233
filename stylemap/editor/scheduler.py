"""The threads that use the model: newest state first, sessions in turn, nothing ever queued up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from stylemap.editor.clients import Client, Job, Unavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Scheduler:
    """Renders frames for every session that wants one, and their jobs, a step at a time.

    A frame is made from the state at the moment it begins; whatever changed while another was made is in
    the next, so that no state is rendered that is already outdated, and there is no queue to grow. Turns go
    round: a session waits for one piece of work of each other session at most.

    One thread at a time has the turn: it chooses and does a piece of work. What a frame leaves for after
    its turn, its thread does while others have theirs. Where the model is ``shared`` every thread has a turn
    of its own, and of one session there is one piece of work at a time.

    Args:
        frame: makes and sends the frame of a session, or returns what does the rest of it.
        threads: how many frames may be made at the same time.
        begin: called by every thread first.
        shared: whether several threads may use the model at the same time.
    """

    def __init__(
        self,
        frame: Callable[[Client], Callable[[], None] | None],
        threads: int = 1,
        begin: Callable[[], None] = lambda: None,
        shared: bool = False,
    ) -> None:
        self._frame, self._begin = frame, begin
        self._clients: dict[str, Client] = {}
        self._chores: list[tuple[Client, Callable[[], None]]] = []
        self._at_work: set[Client] = set()
        self._condition = threading.Condition()
        self._closed = False
        self._turn: AbstractContextManager[Any] = nullcontext() if shared else threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"stylemap-editor-{number}", daemon=True)
            for number in range(threads)
        ]
        self.frames = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads after the step they are at; jobs that wait are cancelled."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()
        for client in self._clients.values():
            _cancel(client)

    def add(self, client: Client) -> None:
        with self._condition:
            self._clients[client.id] = client

    def remove(self, client: Client, chore: Callable[[], None]) -> None:
        """No more work for a session; ``chore`` cleans up after it, in a turn."""
        with self._condition:
            self._clients.pop(client.id, None)
            _cancel(client)
            self._chores.append((client, chore))
            self._condition.notify()

    def wake(self) -> None:
        """Something changed."""
        with self._condition:
            self._condition.notify()

    def submit(self, client: Client, steps: Generator[None, None, Any]) -> Future[Any]:
        """Run a generator, one step per turn; the future has what it returns.

        Raises:
            Unavailable: too many of this session's jobs wait already.
        """
        job = Job(steps, Future())
        with self._condition:
            if len(client.jobs) >= client.limits.jobs:
                raise Unavailable("too many renderings at once: wait for one to end")
            if client.id not in self._clients:
                raise Unavailable("the session has ended")
            client.jobs.append(job)
            self._condition.notify()
        return job.done

    def _run(self) -> None:
        self._begin()
        while not self._closed:
            with self._turn:
                rest = self._take_turn()
            if rest is not None:
                _guarded(rest)

    def _take_turn(self) -> Callable[[], None] | None:
        """Wait for a piece of work and do it; what is left of a frame."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._chore() or self._ready())
            if self._closed:
                return None
            chore, client = self._chore(), self._ready()
            if chore is not None:
                self._chores.remove(chore)
            if client is not None:
                self._at_work.add(client)
                self._clients[client.id] = self._clients.pop(client.id)  # to the end of the round
        if chore is not None:
            _guarded(chore[1])
        if client is None:
            return None
        rest = None
        # Frames and jobs of one session take turns too: an animation must not stop the brush.
        if client.wants_frame() and not (client.jobs and client.job_next):
            client.job_next = True
            self.frames += 1
            rest = _guarded(self._frame, client)
        elif client.jobs:
            client.job_next = False
            self._step(client)
        with self._condition:
            self._at_work.discard(client)
            self._condition.notify_all()  # whatever waited for this session
        return rest

    def _chore(self) -> tuple[Client, Callable[[], None]] | None:
        """One whose session has no work that goes on."""
        return next((each for each in self._chores if each[0] not in self._at_work), None)

    def _ready(self) -> Client | None:
        """The next session of the round that has work, and none that goes on."""
        waiting = (client for client in self._clients.values() if client not in self._at_work)
        return next((client for client in waiting if client.jobs or client.wants_frame()), None)

    def _step(self, client: Client) -> None:
        try:
            job = client.jobs[0]
        except IndexError:  # cancelled since
            return
        try:
            if not job.done.cancelled():
                next(job.steps)
                return
        except StopIteration as end:
            _settle(job.done, result=end.value)
        except Exception as error:
            _settle(job.done, error=error)
        with self._condition:
            if client.jobs and client.jobs[0] is job:
                client.jobs.popleft()


def _settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    # Who asked may give up at any moment, even between a check and this.
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _cancel(client: Client) -> None:
    while client.jobs:
        client.jobs.popleft().done.cancel()


def _guarded(work: Callable[..., _T], *arguments: Any) -> _T | None:
    """The thread outlives whatever one frame raises."""
    try:
        return work(*arguments)
    except Exception:
        _log.exception("rendering failed")
        return None
