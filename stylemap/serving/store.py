"""The uploaded photos: files in a folder that every replica reaches, named by the SHA-256 of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from pathlib import Path

from stylemap.files import make_folder, write_whole

DIGEST = re.compile(r"[0-9a-f]{64}")


def is_stylemap(data: bytes) -> bool:
    """Whether a file is one of safetensors: eight bytes of a length, and JSON. No image begins so."""
    return data[8:10] == b'{"'


class Missing(ValueError):
    """There is no such upload, or no more."""


class PhotoStore:
    """Uploads by owner and digest. Any thread, and several processes at once.

    Args:
        root: the folder; it is made where it is missing.
        limit: bytes of all files; what was used longest ago goes when there are more.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self._limit = root, limit
        self._lock = threading.Lock()
        make_folder(root)
        self._bytes = sum(size for _, size, _ in self._files())

    def put(self, owner: str, data: bytes) -> str:
        """Keep some bytes; their digest."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(owner, digest)
        if path.exists():
            os.utime(path)
            return digest
        with write_whole(path) as file:
            file.write(data)
        with self._lock:
            self._bytes += len(data)
            if self._bytes > self._limit:
                self._sweep(path)
        return digest

    def get(self, owner: str, digest: str) -> bytes:
        """The bytes. Raises Missing where they are not here."""
        path = self._path(owner, digest)
        try:
            data = path.read_bytes()
            os.utime(path)  # the order of use
        except FileNotFoundError:
            raise Missing(f"there is no image {digest}: upload it (again)") from None
        return data

    def size(self, owner: str, digest: str) -> int:
        """How many bytes there are. Raises Missing likewise."""
        try:
            return self._path(owner, digest).stat().st_size
        except FileNotFoundError:
            raise Missing(f"there is no image {digest}: upload it (again)") from None

    def _path(self, owner: str, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):  # it becomes a part of a path
            raise Missing(f"{digest[:80]!r} is no SHA-256 in 64 hexadecimal digits")
        return self._root / owner / digest[:2] / digest

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of the last use, size, path."""
        found = []
        for path in self._root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                if path.is_file() and DIGEST.fullmatch(path.name):
                    facts = path.stat()
                    found.append((facts.st_mtime, facts.st_size, path))
        return found

    def _sweep(self, spared: Path) -> None:
        """Remove the oldest until a tenth is free, so that not every upload has to look."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= 0.9 * self._limit:
                break
            if path != spared:
                path.unlink(missing_ok=True)
                total -= size
        self._bytes = total
