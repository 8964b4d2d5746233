"""A command that is told to end, by `kill` or a closed terminal, first removes what it was writing."""

from __future__ import annotations

import signal
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


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)
