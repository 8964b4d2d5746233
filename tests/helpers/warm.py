"""Processes that start with torch imported: a server imports it once, and forks for each of them.

The import takes two seconds of a processor, and tests that run what a user would paste start a hundred
processes. Each is a process: arguments, folder, environment, descriptors and exit status are its own. It
finds modules imported that a fresh one has yet to import; a test of a variable that is read at an import
(STYLEMAP_NATIVE, LD_PRELOAD) starts its process itself.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("stylemap", "python")
# Imported by torch's optimisers at their first step, by pictures of a run, and by directions: seconds, too.
LATER = ("torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg", "sklearn.svm")

# Run without site-packages, so that it starts in 20 ms. It ends as the forked process does.
_CLIENT = """
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
told = json.dumps({"words": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
socket.send_fds(server, [len(told).to_bytes(8, "little")], [0, 1, 2])
server.sendall(told)
status = server.recv(8)
if not status:
    sys.exit("the server that forks processes has ended")
status = int.from_bytes(status, "little", signed=True)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@contextmanager
def server() -> Iterator[Path]:
    """A folder for PATH with a `stylemap` and a `python` whose processes a server forks."""
    with tempfile.TemporaryDirectory(prefix="warm") as name:  # the path of a socket has at most 107 bytes
        folder, address = Path(name) / "bin", Path(name) / "socket"
        folder.mkdir()
        (Path(name) / "client.py").write_text(_CLIENT)
        for command in NAMES:
            words = shlex.join([sys.executable, "-IS", f"{name}/client.py", str(address), command])
            (folder / command).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (folder / command).chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(address)], cwd=ROOT, stdin=subprocess.DEVNULL
        )
        try:
            while not address.exists():
                assert process.poll() is None, "the server that forks processes did not start"
                time.sleep(0.01)
            yield folder
        finally:
            process.terminate()
            process.wait()


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """This environment, with the commands of `server` before all others."""
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables}


def _serve(address: str) -> NoReturn:
    """Fork for every connection, until SIGTERM."""
    from stylemap.cli.app import build_parser

    build_parser()
    for name in LATER:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection of a forked process would copy every page it looks at
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + "~")
    listener.listen(64)
    os.rename(address + "~", address)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _one(connection)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _one(connection: socket.socket) -> NoReturn:
    """Become what a client asked for; the process it is forked from tells the client its status."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    length, descriptors, *_ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        asked: dict[str, Any] = json.loads(file.read(int.from_bytes(length, "little")))
    pid = os.fork()
    if pid:
        for each in descriptors:
            os.close(each)
        ready, _, _ = select.select([os.pidfd_open(pid), connection], [], [])
        if connection in ready:  # closed: the client was killed
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(status.to_bytes(8, "little", signed=True))
        os._exit(0)
    connection.close()
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", errors=sys.stdout.errors)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    _exit(_become, asked["words"])


def _exit(program: Callable[[list[str]], None], words: list[str]) -> NoReturn:
    """End as the interpreter does, but for freeing each object: of torch's that takes a second."""
    code: int | str | None = 0
    try:
        program(words)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _become(words: list[str]) -> None:
    """Run ``stylemap …`` or ``python -c/-m/FILE …`` as the program of this process."""
    name, *words = words
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.path[:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if name == "stylemap":
        from stylemap.cli import main as program

        sys.argv = [name, *words]
        sys.exit(program())
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1])
