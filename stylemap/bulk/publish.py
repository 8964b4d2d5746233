"""A bulk run whose output is on an object store, or anything else that fsspec opens.

A run works in a folder of this machine, where it has locks and journals. A chunk that is done is copied to
the store, its results first and its rows last, and its results leave the folder. What the store has of a run
is enough to go on with it, from another machine too; two runs at once into one place are not told from each
other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from stylemap.data.blobs import file_system, naming
from stylemap.files import write_whole

_RUN, _ROWS = "run.json", "manifest/*.jsonl"
_STATE = (_RUN, "jobs.jsonl", _ROWS)


class Place:
    """A folder of a store.

    Args:
        url: of it, as ``s3://bucket/run``.

    Raises:
        ImportError: fsspec, or what it needs for this kind of URL, is missing.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._system, self._path = file_system(url)

    def pull(self, root: Path) -> None:
        """Bring what is known of a run there into a folder of this machine, where that does not have it.

        What the store has counts: a chunk whose rows are no more there is to be done again.

        Raises:
            OSError: the store cannot be read.
            ValueError: the folder has chunks of a run that is not on the store at all.
        """
        with naming(self._url):
            there = {
                found[len(self._path) :].lstrip("/"): found
                for pattern in _STATE
                for found in self._system.glob(f"{self._path}/{pattern}")
            }
        lost = [p for p in sorted(root.glob(_ROWS)) if p.relative_to(root).as_posix() not in there]
        if lost and _RUN not in there:
            raise ValueError(
                f"{self._url} holds no run, and {root} has rows of one that was written there: remove "
                f"{root}, and all is done again"
            )
        for path in lost:
            path.unlink()
        for name, found in there.items():
            path = root / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with naming(self._url), write_whole(path) as file:
                    file.write(self._system.cat_file(found))

    def fetch(self, root: Path, name: str) -> None:
        """Bring one file, where the folder does not have it: another machine began the run."""
        if not (root / name).exists():
            root.mkdir(parents=True, exist_ok=True)
            with naming(self._url), write_whole(root / name) as file:
                file.write(self._system.cat_file(f"{self._path}/{name}"))

    def put(self, root: Path, files: Iterable[Path]) -> None:
        """Copy files of the folder, in their order.

        Raises:
            OSError: the store cannot be written.
        """
        for path in files:
            self.write(path.relative_to(root).as_posix(), path.read_bytes())

    def write(self, name: str, data: bytes) -> None:
        """A file of the store: whole or not at all, as its kind has it."""
        target = f"{self._path}/{name}"
        with naming(self._url):
            self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(target, data)

    def remove(self, root: Path, path: Path) -> None:
        """Delete the copy of a file of the folder."""
        with naming(self._url), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(f"{self._path}/{path.relative_to(root).as_posix()}")
