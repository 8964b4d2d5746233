"""Files by path or URL: what fsspec opens is read as files of this machine are."""

from __future__ import annotations

import glob
import io
import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from stylemap import images
from stylemap.files import check_file, write_whole
from stylemap.optional import require

_LONGEST = 256  # bytes of the name of a class
_OPEN = 32  # files that are kept open


def is_url(text: str) -> bool:
    """Whether a text is a URL, which fsspec opens, and no path."""
    return "://" in text


def import_fsspec() -> Any:
    """The fsspec module. Raises ImportError, which says how to install it."""
    return require("fsspec", "a URL")


@contextmanager
def naming(text: str) -> Iterator[None]:
    """What goes wrong in the block while a URL is used becomes an OSError that names it.

    Stores say what is wrong, a missing bucket or key, refused credentials, a host that does not answer, in
    exceptions of their own packages, most without the URL.
    """
    try:
        yield
    except (ImportError, ValueError, MemoryError, tarfile.TarError):
        raise
    except Exception as error:
        if not is_url(text) or (isinstance(error, OSError) and text in str(error)):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"{text}: {said}") from error


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path there.

    Raises:
        ImportError: fsspec or the package of the protocol is missing.
        ValueError: no such protocol.
        OSError: the store cannot be reached.
    """
    try:
        with naming(url):
            system, path = import_fsspec().core.url_to_fs(url)
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from error
    return system, path


def open_binary(text: str) -> BinaryIO:
    """A file or URL, open for reading.

    Raises:
        ImportError: a URL, and fsspec or the package of its protocol is missing.
        ValueError: a URL with an unknown protocol.
        OSError: as the file system says; a pipe or a device.
    """
    if not is_url(text):
        check_file(text)
        return open(text, "rb")
    system, path = file_system(text)
    with naming(text):
        file: BinaryIO = system.open(path, "rb")
    return file


class Member(NamedTuple):
    """An image in a tar file: the tar's path or URL, its name there, its first byte, and how many it has."""

    tar: str
    name: str
    start: int
    length: int


def members(path: str) -> Iterator[Member]:
    """The images of an uncompressed tar file, as WebDataset has them; other members are left alone.

    Raises:
        ValueError: it is no tar file.
        OSError, ImportError: as `open_binary`.
    """
    try:
        with naming(path), open_binary(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isfile() and _is_image(member.name):
                    yield Member(path, member.name, member.offset_data, member.size)
                archive.members = []  # type: ignore[attr-defined]  # it keeps what it has read: one object per file
    except tarfile.TarError as error:
        raise ValueError(f"{path} is no tar file: {error}") from error


def _is_image(name: str) -> bool:
    """By its name; hidden ones are left alone, as in folders: macOS puts notes beside each file."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in path.parts)
    return path.suffix.lower() in images.SUFFIXES and not hidden


def labels(path: str) -> dict[str, str]:
    """The texts of the ``.cls`` members of a tar file, as WebDataset has a class beside each image, by `key`.

    Raises:
        ValueError: it is no tar file, or one of them is no text.
        OSError, ImportError: as `open_binary`.
    """
    found = {}
    try:
        with naming(path), open_binary(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".cls"):
                    content = archive.extractfile(member)
                    assert content is not None
                    found[key(member.name)] = content.read(_LONGEST).decode().strip()
                archive.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no tar file with classes as text: {error}") from error
    return found


def key(name: str) -> str:
    """What WebDataset calls the files of one sample: the name up to the first dot after its folders."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a tar file of files by their names, whole or not at all; its bytes depend on nothing else.

    Raises:
        OSError: as `write_whole`.
    """
    with write_whole(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))


def find_tars(source: str) -> list[str]:
    """The tar files that a path, a glob or a folder names, on this machine or by URL, in the order of their
    names; none where it names something else.
    """
    if is_url(source):
        system, path = file_system(source)
        with naming(source):
            if glob.has_magic(path):
                found = system.glob(path)
            else:
                found = [path] if path.endswith(".tar") else system.find(path)
        return [system.unstrip_protocol(each) for each in sorted(found) if each.endswith(".tar")]
    if os.path.isdir(source):
        found = [entry.path for entry in os.scandir(source)]
    else:
        found = glob.glob(source) if glob.has_magic(source) else [source]
    return sorted(os.path.abspath(each) for each in found if each.endswith(".tar") and os.path.isfile(each))


class Pieces:
    """Reads pieces of files, of which some are kept open. Any thread; also after a fork, or a copy of it."""

    def __init__(self) -> None:
        self._forget()

    def read(self, path: str, start: int, length: int) -> bytes:
        """Some bytes of a file or URL. Raises OSError, where it is shorter as well."""
        if self._process != os.getpid():  # the files are the parent's, and so is where they are read
            self._forget()
        with self._lock:
            file = self._files.pop(path, None) or open_binary(path)
            self._files[path] = file
            while len(self._files) > _OPEN:
                self._files.popitem(last=False)[1].close()
            with naming(path):
                file.seek(start)
                data = file.read(length)
        if len(data) != length:
            raise OSError(f"{path} is shorter than its index says: it has changed, or its end is missing")
        return data

    def _forget(self) -> None:
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()
        self._lock, self._process = threading.Lock(), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._forget()
