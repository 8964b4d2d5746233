"""The published LMDB layout: key ``length`` (decimal text), keys ``{size}-{index:05d}`` of encoded images."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from stylemap import images
from stylemap.data import lmdb_check
from stylemap.data.protocol import ImageDataset
from stylemap.optional import require

_log = logging.getLogger(__name__)

LENGTH = b"length"
WRITING = b"writing"  # state of an unfinished write, see lmdb_writer
MAX_READERS = 256
_MAX_DIGITS = 12  # of a length


def image_key(size: int, index: int) -> bytes:
    """The key of an image: ``{size}-{index:05d}`` (docs/network.md section 11)."""
    return f"{size}-{index:05d}".encode()


def import_lmdb() -> Any:
    """The lmdb module. Raises ImportError, which says how to install it."""
    return require("lmdb", "an LMDB")


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path looks like an LMDB: a folder with data.mdb, or a file .mdb or .lmdb."""
    path = Path(path)
    return (path / "data.mdb").is_file() or (path.is_file() and path.suffix in (".mdb", ".lmdb"))


def data_file(path: Path) -> Path:
    """The file with the pages of a store: the store itself, or data.mdb in its folder."""
    folder = path.is_dir() or not (path.suffix == ".mdb" or path.is_file())
    return path / "data.mdb" if folder else path


def instead_of_images(folder: Path) -> str:
    """What a folder without images is or holds of LMDBs, for the end of an error; "" for nothing."""
    if is_store(folder):
        return "; it is an LMDB"
    if (folder / "lock.mdb").exists():
        return "; it holds the lock.mdb of an LMDB, whose data.mdb is missing"
    stores = [path.name for path in sorted(folder.iterdir()) if is_store(path)]
    if not stores:
        return ""
    more = f" and {len(stores) - 4} more" if len(stores) > 4 else ""
    return f"; {', '.join(stores[:4])}{more} in it {'are LMDBs' if stores[1:] else 'is an LMDB: name that'}"


class LmdbDataset(ImageDataset):
    """Images of one size from an LMDB in the published layout. Safe to use from several worker processes.

    A damaged entry is an error that names its key. With ``skip_corrupt`` every entry is decoded once when the
    dataset is opened; bad ones are left out, logged, and listed with the reason in :attr:`skipped`.

    Raises:
        ImportError: the lmdb package is missing.
        FileNotFoundError: no LMDB there.
        ValueError: truncated or damaged pages, not in this layout, still being written, without images of
            this size, or with fewer than it says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int,
        *,
        skip_corrupt: bool = False,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(size, flip=flip, seed=seed)
        self.path = Path(path)
        self._reader = reader(self.path)
        length = self._checked_length()
        self.skipped: list[tuple[str, str]] = []
        if skip_corrupt:
            there = [index for index in self._reader.indices(size) if index < length]
            self._note_missing(there, length)
            self.entries = [index for index in there if self._readable(index)]
            self.skipped.sort(key=lambda entry: int(entry[0].split(" ")[0].partition("-")[2]))
            if not self.entries:
                raise images.ImageError(f"{self.path} holds no readable image")
        else:
            self._check_last(length)
            self.entries = list(range(length))

    def __len__(self) -> int:
        return len(self.entries)

    def raw(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×3×S×S, never mirrored.

        Raises:
            ImageError: an entry that is missing or cannot be decoded; the message names its key.
        """
        out = torch.empty(len(indices), 3, self.size, self.size, dtype=torch.uint8)
        for row, index in enumerate(indices):
            picture = images.fit_square(self._picture(self.entries[index]), self.size)
            out[row] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        return out

    def _picture(self, entry: int) -> Any:
        key = image_key(self.size, entry)
        data = self._reader.get(key)
        name = f"{self.path} entry {key.decode()}"
        if data is None:
            raise images.UnreadableError(f"{name} is missing")
        return images.open_rgb(io.BytesIO(data), name=name)

    def _readable(self, entry: int) -> bool:
        try:
            self._picture(entry)
        except images.ImageError as error:
            self.skipped.append((image_key(self.size, entry).decode(), str(error)))
            _log.warning("skipped: %s", error)
            return False
        return True

    def _note_missing(self, there: list[int], length: int) -> None:
        """Log the gaps in the sorted indices ``there``, each as one entry skipped."""
        for before, after in zip([-1, *there], [*there, length]):
            if after - before > 1:
                first, last = (image_key(self.size, i).decode() for i in (before + 1, after - 1))
                name = first if first == last else f"{first} to {last}"
                self.skipped.append((name, f"{self.path} entry {name} is missing"))
                _log.warning("skipped: %s", self.skipped[-1][1])

    def _check_last(self, length: int) -> None:
        """Raises UnreadableError where the store has fewer images than its length says."""
        if self._reader.get(image_key(self.size, length - 1)) is None:
            there = len(self._reader.indices(self.size))
            raise images.UnreadableError(
                f"{self.path} says that it holds {length} images and has {there} of size {self.size}"
            )

    def _checked_length(self) -> int:
        if not is_store(self.path):
            what = instead_of_images(self.path) if self.path.is_dir() else ""
            raise FileNotFoundError(f"no LMDB at {self.path}{what}")
        text = self._reader.get(LENGTH)
        if text is None and self._reader.get(WRITING) is not None:
            raise ValueError(f"{self.path} is unfinished: repeat the command that was writing it")
        if text is None and self._reader.is_empty():
            raise ValueError(f"{self.path} is an LMDB without entries: nothing was written to it yet")
        if text is None or not text.isdigit() or len(text) > _MAX_DIGITS:
            raise ValueError(
                f"{self.path} is not in the published layout: its key 'length' is missing or no number"
            )
        length = int(text)
        if length == 0:
            raise ValueError(f"{self.path} holds no images: its length is 0")
        sizes = self._reader.sizes()
        if self.size not in sizes:
            found = ", ".join(map(str, sizes)) or "none"
            raise ValueError(f"{self.path} holds no images of size {self.size}; sizes there: {found}")
        return length


class Reader:
    """Reads one store. All datasets of a process share it, because LMDB forbids opening a store twice.

    An LMDB environment does not survive a fork, so every reader closes its environment before a fork and
    opens it again at the next read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment: Any = None
        self._checked = False

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None where the store has none."""
        with _lock, self._opened().begin() as transaction:
            return transaction.get(key)

    def sizes(self) -> list[int]:
        """The sizes of the images in the store, in ascending order."""
        with _lock:
            return sizes(self._opened())

    def indices(self, size: int) -> list[int]:
        """The indices of the images of a size, in ascending order."""
        prefix = f"{size}-".encode()
        found = []
        with _lock, self._opened().begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(prefix)
            for key in cursor.iternext(values=False):
                if not key.startswith(prefix):
                    break
                number = key[len(prefix) :]
                if number.isdigit() and len(number) <= _MAX_DIGITS and key == image_key(size, int(number)):
                    found.append(int(number))
        return sorted(found)

    def is_empty(self) -> bool:
        """Whether the store has no entries at all."""
        with _lock:
            return bool(self._opened().stat()["entries"] == 0)

    def close(self) -> None:
        """Close the environment; the next read opens it again."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def __reduce__(self) -> tuple[Any, ...]:
        return reader, (self.path,)

    def _opened(self) -> Any:
        if self._environment is None:
            if not self._checked:
                lmdb_check.check_pages(data_file(self.path))
                self._checked = True
            self._environment = open_store(self.path, readonly=True)
        return self._environment


_lock = threading.RLock()
_readers: WeakValueDictionary[Path, Reader] = WeakValueDictionary()


def reader(path: Path) -> Reader:
    """The reader of a store that this process shares."""
    with _lock:
        found = _readers.get(path.resolve())
        if found is None:
            found = _readers[path.resolve()] = Reader(path)
        return found


def _before_fork() -> None:
    _lock.acquire()
    for each in list(_readers.values()):
        each.close()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=lambda: _lock.release(), after_in_child=_after_fork_in_child
    )


def open_store(path: Path, **options: Any) -> Any:
    """An LMDB environment.

    Raises:
        ImportError: the lmdb package is missing.
        ValueError: the file is no LMDB, or was cut.
        lmdb.Error: to write, what LMDB says.
    """
    lmdb = import_lmdb()
    file = data_file(path)
    if options.get("readonly"):
        options |= {"lock": False, "readahead": False}
        if lmdb_check.check_length(file) is None:
            raise ValueError(f"{file} is empty: nothing was written to it yet")
    elif file.exists():
        lmdb_check.check_length(file)
    try:
        return lmdb.open(str(path), subdir=file != path, max_readers=MAX_READERS, **options)
    except lmdb.Error as error:
        if not options.get("readonly"):  # the writer tells of full disks
            raise
        raise ValueError(f"cannot open {path} as an LMDB: {error}") from error


def sizes(environment: Any) -> list[int]:
    """The image sizes of a store, ascending. The search jumps from the keys of one size to the next."""
    found = []
    with environment.begin() as transaction, transaction.cursor() as cursor:
        here = cursor.first()
        while here:
            prefix, dash, index = cursor.key().partition(b"-")
            if dash and prefix.isdigit() and index.isdigit():
                found.append(int(prefix))
                here = cursor.set_range(prefix + b".")  # "." follows "-"
            else:
                here = cursor.next()
    return sorted(found)
