"""Look at an LMDB's file before it is mapped: LMDB trusts every page, and a wrong one ends the process.

A page beyond the end of the file raises SIGBUS, a page of other bytes lets LMDB read anywhere. So the file's
length, and with `check_pages` every page that leads to an entry, is compared with what the format asks for.
Values are not looked at: whoever decodes them checks them.

The format is that of LMDB's source (mdb.c: MDB_page, MDB_meta, MDB_db, MDB_node), for 64-bit machines.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

_MAGIC = 0xBEEFC0DE
_PAGE_HEADER, _NODE_HEADER = 16, 8
_BRANCH, _LEAF, _OVERFLOW, _META, _LEAF2 = 0x01, 0x02, 0x04, 0x08, 0x20
_BIG_DATA, _SUB_DATA = 0x01, 0x02
_NOTHING = 2**64 - 1
_MAX_DEPTH = 32
_META_FORMAT = struct.Struct("<IIQQ" + "IHHQQQQQ" * 2 + "QQ")


class Meta(NamedTuple):
    """What the newer of the two meta pages says. roots: of the free list and of the entries."""

    page_bytes: int
    last_page: int
    transaction: int
    roots: tuple[int, int]
    flags: int
    entries: int


def check_length(path: Path) -> Meta | None:
    """The meta page of an LMDB whose file is as long as it says; None for a new one, still without bytes.

    Args:
        path: of the data file.

    Raises:
        ValueError: other content, or a file that was cut; the message names it and both lengths.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        if length == 0:
            return None
        meta = _meta(file, path, length)
        needed = (meta.last_page + 1) * meta.page_bytes
        if length < needed and not _ends_unused(file, path, meta, length):
            raise ValueError(f"{path} is truncated: it has {length} of {needed} bytes")
    if meta.flags:
        raise ValueError(f"{path} is an LMDB of something else: its keys are no texts with one value each")
    return meta


def _ends_unused(file: BinaryIO, path: Path, meta: Meta, length: int) -> bool:
    """Whether what a file lacks is in use nowhere: LMDB need not write pages that it took and gave back."""
    try:
        highest = max(_walk(file, path, meta, root) for root in meta.roots)
    except ValueError:
        return False
    return (highest + 1) * meta.page_bytes <= length


def check_pages(path: Path) -> None:
    """Walk through every page that leads to an entry or to a free page.

    Raises:
        ValueError: a page that LMDB did not write; the message names its number. Or as `check_length` does.
    """
    meta = check_length(path)
    if meta is None:
        return
    with path.open("rb") as file:
        for root in meta.roots:
            try:
                _walk(file, path, meta, root)
            except ValueError as error:
                now = check_length(path)
                if now is not None and now.transaction != meta.transaction:
                    raise ValueError(f"{path} is being written by another process") from error
                raise


def _meta(file: BinaryIO, path: Path, length: int) -> Meta:
    head = file.read(_PAGE_HEADER + _META_FORMAT.size)
    first = _parsed(head)
    if first is None:
        raise ValueError(f"{path} is no LMDB: its first page is none of an LMDB")
    file.seek(first.page_bytes)
    second = _parsed(file.read(_PAGE_HEADER + _META_FORMAT.size))
    if second is None or second.page_bytes != first.page_bytes:
        if length < 2 * first.page_bytes:
            raise ValueError(f"{path} is truncated: it has {length} bytes, less than its first two pages")
        raise ValueError(f"{path} is damaged: its second page is none of an LMDB")
    return max(first, second, key=lambda meta: meta.transaction)


def _parsed(data: bytes) -> Meta | None:
    """A meta page; None where the bytes are none."""
    if len(data) < _PAGE_HEADER + _META_FORMAT.size:
        return None
    (flags,) = struct.unpack_from("<H", data, 10)
    values = _META_FORMAT.unpack_from(data, _PAGE_HEADER)
    magic, version, _, _, page_bytes = values[:5]
    known = magic == _MAGIC and version in (1, 2, 999) and flags & _META
    if not known or not 256 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
        return None
    return Meta(page_bytes, values[20], values[21], (values[11], values[19]), values[13], values[18])


def _walk(file: BinaryIO, path: Path, meta: Meta, root: int) -> int:
    """Check every page below ``root``; the highest page that is in use there."""
    if root == _NOTHING:
        return 1
    seen, highest = {0, 1}, root
    level, depth = [root], 0
    while level:
        depth += 1
        below: list[int] = []
        kinds: set[int] = set()
        for number in level:
            if number in seen or not 1 < number <= meta.last_page or depth > _MAX_DEPTH:
                raise _damaged(path, number)
            seen.add(number)
            file.seek(number * meta.page_bytes)
            found = _parsed_page(file.read(meta.page_bytes), number, meta)
            if found is None or kinds - {found.kind}:
                raise _damaged(path, number)
            kinds.add(found.kind)
            below += found.children
            highest = max(highest, number, found.highest)
        level = below
    return highest


def _damaged(path: Path, number: int) -> ValueError:
    return ValueError(f"{path} is damaged: its page {number} is none that LMDB wrote")


class _Page(NamedTuple):
    """A branch page with the pages below it, or a leaf. highest: the last page of its entries' values."""

    kind: int
    children: list[int]
    highest: int


def _parsed_page(page: bytes, number: int, meta: Meta) -> _Page | None:
    """A page of a tree; None for what LMDB did not write."""
    if len(page) < meta.page_bytes:
        return None
    own, _, flags, lower, upper = struct.unpack_from("<QHHHH", page)
    kind = flags & (_BRANCH | _LEAF | _OVERFLOW | _META | _LEAF2)
    count = (lower - _PAGE_HEADER) // 2
    if own != number or kind not in (_BRANCH, _LEAF) or not _PAGE_HEADER <= lower <= upper <= len(page):
        return None
    if count < (2 if kind == _BRANCH else 1):
        return None
    at = np.frombuffer(page, "<u2", count, _PAGE_HEADER).astype(np.int64)
    if (at < upper).any() or (at > len(page) - _NODE_HEADER).any() or (at % 2).any():
        return None
    bytes_ = np.frombuffer(page, np.uint8)
    low, high, node_flags, key = (_u16(bytes_, at + 2 * i) for i in range(4))
    end = at + _NODE_HEADER + key
    if kind == _BRANCH:
        below: list[int] = (low | high << 16 | node_flags << 32).tolist()
        return None if (end > len(page)).any() else _Page(kind, below, 0)
    last = _last_value(page, end, low | high << 16, node_flags, meta)
    return None if last is None else _Page(kind, [], last)


def _last_value(page: bytes, end: np.ndarray, size: np.ndarray, flags: np.ndarray, meta: Meta) -> int | None:
    """The last page of a leaf's values that have pages of their own; None where a value lies elsewhere than
    in the leaf or in the file."""
    big = (flags & _BIG_DATA) > 0
    if (flags & ~(_BIG_DATA | _SUB_DATA)).any() or (end + np.where(big, 8, size) > len(page)).any():
        return None
    highest = 0
    for start, length in zip(end[big].tolist(), size[big].tolist()):
        (first,) = struct.unpack_from("<Q", page, start)
        last = first - 1 - (-(_PAGE_HEADER + length) // meta.page_bytes)
        if first < 2 or last > meta.last_page:
            return None
        highest = max(highest, last)
    return highest


def _u16(page: np.ndarray, at: np.ndarray) -> np.ndarray:
    return page[at].astype(np.int64) | page[at + 1].astype(np.int64) << 8
