"""Write a file whole or not at all; lock one; show what it holds in a message."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_MAX_TEXT_BYTES = 64 << 20
_PATIENCE = 10  # seconds between pieces of a text from a pipe
_HAS_LOCKS = importlib.util.find_spec("fcntl") is not None
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block succeeds.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed to ``path``.
    After a failure ``path`` is as before. A missing folder is created.

    Raises:
        OSError: naming ``path``, when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        make_folder(target.parent)
        if kind := kind_of(target):  # a rename would put a file in the place of /dev/null
            raise FileExistsError(None, f"it is {kind}")
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
    except OSError as error:
        raise _named(error, target) from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except OSError as error:
        raise _named(error, target) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def kind_of(path: str | os.PathLike[str]) -> str:
    """What is there, "a folder", "a pipe" and so on; "" for a file, and where there is nothing.

    Pipes and devices are no files to work on: a pipe may be read once, and waits for a writer; a device may
    have no end.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    for test, name in _KINDS:
        if test(mode):
            return name
    return ""


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OSError, as `write_whole` would, for what cannot become a file: before the work that makes it."""
    target = Path(path)
    try:
        make_folder(target.parent)
        if kind := kind_of(target):
            raise FileExistsError(None, f"it is {kind}")
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(None, os.strerror(errno.EACCES))
    except OSError as error:
        raise _named(error, target) from error


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, where they are missing; OSError says what stands in its place."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FileExistsError(f"{path} is {kind_of(path) or 'a file'}, not a folder") from None


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise OSError, which names it, for what is there and no file."""
    kind = kind_of(path)
    if kind:
        raise OSError(f"{path} is {kind}, not a file")


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system says of a file that the block reads names it: a disk that fails, no memory for it."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or str(path) in str(error):
            raise
        raise type(error)(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise MemoryError(f"{path} cannot be read: there is not enough memory for it") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """A text file in UTF-8, whatever the locale; a mark at its beginning is left out.

    Raises:
        OSError: naming the file, where there is none, or it may not be read.
        ValueError: naming the file, where it is no text, or longer than any that is meant here.
    """
    with reading(path), open(path, "rb", buffering=0, opener=_unblocked) as file:
        content = _read(file, _MAX_TEXT_BYTES + 1)  # a device may have no end
    if len(content) > _MAX_TEXT_BYTES:
        raise ValueError(f"{path} has more than {_MAX_TEXT_BYTES >> 20} MiB, and is no text to read here")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from error


def _unblocked(path: str, flags: int) -> int:
    """A pipe that nobody writes to, or a device that has nothing to say, would wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: io.RawIOBase, most: int) -> bytes:
    """At most so many bytes; OSError where none come for some seconds."""
    content = bytearray()
    while len(content) < most:
        piece = file.read(min(most - len(content), 1 << 20))
        if piece is None:
            if not select.select([file], [], [], _PATIENCE)[0]:
                raise OSError(errno.ETIMEDOUT, f"nothing came in {_PATIENCE} seconds")
        elif piece:
            content += piece
        else:
            break
    return bytes(content)


@contextmanager
def only_writer(folder: str | os.PathLike[str], patience: float = 0.0) -> Iterator[None]:
    """Nobody else who asks for the same writes to a folder meanwhile; it is made where it is missing.

    patience: seconds to wait for another one, who may be about to end. On file systems and platforms
    (Windows) without locks nobody is kept out.

    Raises:
        ValueError: somebody writes to it.
        OSError: the folder cannot be made.
    """
    make_folder(folder)
    if not _HAS_LOCKS:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + patience
    try:
        while True:
            try:
                lock(handle, wait=False)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise ValueError(f"another run is writing to {folder}") from None
                time.sleep(0.1)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                break
        yield
    finally:
        os.close(handle)


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock an open file or folder for this process alone, until it is closed.

    Raises:
        BlockingIOError: without ``wait``, where another process has it.
        NotImplementedError: the platform has no such locks (Windows).
    """
    try:
        import fcntl
    except ImportError:
        raise NotImplementedError("this platform lacks flock, by which a folder is locked") from None
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def shown(value: object) -> str:
    """A value for a message: short, whatever a file holds, as lists of lists that name each other."""
    if isinstance(value, int) and value.bit_length() > 512:  # Python writes no more than 4300 digits
        return "a number of very many digits"
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _named(error: OSError, target: Path) -> OSError:
    return type(error)(f"cannot write {target}: {error.strerror or error}")


def _umask() -> int:
    # The mask can only be read by setting it; mkstemp's 0600 would otherwise stay on the result.
    current = os.umask(0)
    os.umask(current)
    return current
