"""What torch.save wrote: a zip archive of a pickle and the bytes of each storage, or before torch 1.6 several
pickles in a row with the bytes behind them. Nothing in a file is executed, see `stylemap.checkpoint.pickled`.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from stylemap.checkpoint.contents import CheckpointError, one_line, show
from stylemap.checkpoint.harmless import RefusedError
from stylemap.checkpoint.pickled import Reader

ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a number, behind the pickle's protocol and frame
_MAX_PICKLE_BYTES = 32 << 20
_LOCAL_HEADER = struct.Struct("<26xHH")


def is_torch_file(head: bytes) -> bool:
    """Whether a file with these first bytes, 30 or more, looks like one that torch.save wrote."""
    return head.startswith(ZIP_MAGIC) or (head.startswith(b"\x80") and _LEGACY_MAGIC in head[2:30])


def read_content(path: Path, mapped: bool = True) -> Any:
    """The object in a file.

    Dictionaries and sets of any class become plain ones, namespaces `argparse.Namespace`, paths texts, the
    scalars of numpy numbers; parameters and buffers tensors on the CPU, without gradients.

    mapped: of a zip archive, whether its tensors are mapped from the file, so that only those in use take
        memory; else they have their own. A zip's checksums are compared either way.

    Raises:
        CheckpointError: a file that is damaged, that torch.save did not write, or that asks for more.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        return _zipped(path, mapped) if is_zip else _legacy(path)
    except CheckpointError:
        raise
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused, it asks to run or build {show(str(error))}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: damaged, its pickle is none ({one_line(error)})") from error
    except Exception as error:  # a damaged file can fail anywhere in zip, pickle or tensor code
        what = one_line(error) or type(error).__name__
        raise CheckpointError(f"{path}: damaged or truncated ({what})") from error


def _zipped(path: Path, mapped: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise CheckpointError(f"{path}: a compressed zip, which torch.save does not write")
        pickles = [name for name in entries if name.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"{path}: a zip archive, but not one that torch.save wrote")
        if entries[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise CheckpointError(f"{path}: damaged, its index claims {entries[pickles[0]].file_size} bytes")
        _check_sums(path, archive)
        text = archive.read(pickles[0])
        folder = pickles[0].removesuffix("data.pkl")
        order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in entries else b""
    if order not in (b"", b"little", b"big"):
        raise CheckpointError(f"{path}: damaged, its byte order is {show(ascii(order))}")
    whole: Any = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
    found: dict[str, torch.UntypedStorage] = {}

    def storage(key: str, dtype: torch.dtype, count: int) -> torch.UntypedStorage:
        if key not in found:
            found[key] = _entry(path, whole, entries[f"{folder}data/{key}"], dtype)
            if not mapped:
                found[key] = found[key].clone()
            if order not in (b"", sys.byteorder.encode()):
                found[key].byteswap(dtype)
        if count * dtype.itemsize > found[key].nbytes():
            raise ValueError(f"storage {show(key)} has {found[key].nbytes()} bytes, not {count} elements")
        return found[key]

    return Reader(io.BytesIO(text), storage).load()


def _entry(path: Path, whole: Any, entry: zipfile.ZipInfo, dtype: torch.dtype) -> torch.UntypedStorage:
    """The bytes of an entry, mapped."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        start = file.tell() + name + extra
    if start + entry.file_size > whole.nbytes():
        raise ValueError(f"{show(entry.filename)} ends beyond the file")
    if entry.file_size == 0:
        return torch.UntypedStorage(0)
    part: torch.UntypedStorage = whole[start : start + entry.file_size]
    return part if start % dtype.itemsize == 0 else part.clone()


def _check_sums(path: Path, archive: zipfile.ZipFile) -> None:
    """Compare every entry with its checksum. Where torch was told to write none, they are 0."""
    for entry in archive.infolist():
        if entry.CRC == 0:
            del entry.CRC  # which zipfile then does not expect
            continue
        try:
            with archive.open(entry) as file:
                while file.read(1 << 20):
                    pass
        except zipfile.BadZipFile as error:
            raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error


def _legacy(path: Path) -> Any:
    """Magic number, version, system, the object, the keys of its storages; then each storage's length and
    bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = io.BytesIO(file.read(min(size, _MAX_PICKLE_BYTES)))
        found: dict[str, tuple[torch.UntypedStorage, int]] = {}

        def storage(key: str, dtype: torch.dtype, count: int) -> torch.UntypedStorage:
            if key not in found:
                if sum(one.nbytes() for one, _ in found.values()) + count * dtype.itemsize > size:
                    raise ValueError(f"storage {show(key)} is longer than the file")
                found[key] = torch.UntypedStorage(count * dtype.itemsize), dtype.itemsize
            if found[key][0].nbytes() < count * dtype.itemsize:
                raise ValueError(f"storage {show(key)} has two lengths")
            return found[key][0]

        *_, system, content, keys = (Reader(head, storage).load() for _ in range(5))
        if not isinstance(system, dict) or not system.get("little_endian", False):
            raise CheckpointError(f"{path}: written on a machine of another byte order")
        file.seek(head.tell())
        for key in keys:
            data, width = found[key if type(key) is str else ""]
            (count,) = struct.unpack("<q", file.read(8))
            if count * width != data.nbytes():
                raise ValueError(f"storage {show(key)} has {count} elements and another length before")
            taken: Any = torch.empty(0, dtype=torch.uint8).set_(data).numpy()
            if file.readinto(taken) != data.nbytes():
                raise EOFError("it ends within its weights")
        if set(keys) != set(found):
            raise ValueError("it lacks some of its weights")
    return content
