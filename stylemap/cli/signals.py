"""Commands that are told to end: after `kill` they remove what they were writing; Ctrl-C ends them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# These go on from what is there when they are started again, or answer the signals themselves; torchrun waits
# for the processes that it ends.
_OTHERS = ("train", "bulk", "serve", "edit-server")


@contextmanager
def ends_in_order(command: str) -> Iterator[None]:
    """SIGTERM and SIGHUP in the block become SystemExit with the status of a shell, 128 and their number.

    Temporary files are then removed as after Ctrl-C. Nothing changes for commands that need no such help, in
    other threads than the main one, and for a signal that somebody else handles or ignores, as nohup does.
    """
    taken = []
    if command not in _OTHERS and threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _end)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def interrupted_for_certain() -> Iterator[None]:
    """Ctrl-C in the block is a KeyboardInterrupt also where it meets a finalizer or a callback of C.

    Python prints and drops whatever these raise. The interruption is then sent once more.
    """
    before = sys.unraisablehook
    again: list[threading.Timer] = []

    def drop(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        # Later, since in this function it would be dropped, too.
        again.append(threading.Timer(0.05, _interrupt))
        again[-1].start()

    sys.unraisablehook = drop
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in again:
            timer.cancel()


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):  # ends a main thread's sleep, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)
