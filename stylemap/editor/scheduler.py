"""The one thread that uses the model: newest state first, sessions in turn, nothing ever queued up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from stylemap.editor.clients import Client, Job, Unavailable

_log = logging.getLogger(__name__)


class Scheduler:
    """Renders frames for every session that wants one, and their jobs, a step at a time.

    A frame is made from the state at the moment it begins; whatever changed while another was made is in
    the next, so that no state is rendered that is already outdated, and there is no queue to grow. Turns go
    round: a session waits for one piece of work of each other session at most.

    Args:
        frame: makes and sends the frame of a session.
    """

    def __init__(self, frame: Callable[[Client], None]) -> None:
        self._frame = frame
        self._clients: dict[str, Client] = {}
        self._chores: list[Callable[[], None]] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="stylemap-editor", daemon=True)
        self.frames = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread after the step it is at; jobs that wait are cancelled."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()
        for client in self._clients.values():
            _cancel(client)

    def add(self, client: Client) -> None:
        with self._condition:
            self._clients[client.id] = client

    def remove(self, client: Client, chore: Callable[[], None]) -> None:
        """No more work for a session; ``chore`` cleans up after it, in the scheduler's thread."""
        with self._condition:
            self._clients.pop(client.id, None)
            _cancel(client)
            self._chores.append(chore)
            self._condition.notify()

    def wake(self) -> None:
        """Something changed."""
        with self._condition:
            self._condition.notify()

    def submit(self, client: Client, steps: Generator[None, None, Any]) -> Future[Any]:
        """Run a generator in the scheduler's thread, one step per turn; the future has what it returns.

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
        frame_next = True
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._chores or self._ready())
                if self._closed:
                    return
                chores, self._chores = self._chores, []
                client = self._ready()
                if client is not None:  # to the end of the round
                    self._clients[client.id] = self._clients.pop(client.id)
            for chore in chores:
                _guarded(chore)
            if client is None:
                continue
            # Frames and jobs of one session take turns too: an animation must not stop the brush.
            if client.wants_frame() and (frame_next or not client.jobs):
                self.frames += 1
                _guarded(self._frame, client)
            elif client.jobs:
                self._step(client)
            frame_next = not frame_next

    def _ready(self) -> Client | None:
        """The next session of the round that has work."""
        return next((c for c in self._clients.values() if c.jobs or c.wants_frame()), None)

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


def _guarded(work: Callable[..., None], *arguments: Any) -> None:
    """The thread outlives whatever one frame raises."""
    try:
        work(*arguments)
    except Exception:
        _log.exception("rendering failed")
