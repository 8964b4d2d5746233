"""What is fuzzed: for each parser good inputs to begin with, and a function that takes any bytes.

A function returns for an input that is read or refused as the parser promises; whatever else it raises is a
find. Project files are read by the browser: here are the scenes that they send to the server.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from stylemap.checkpoint import CheckpointError, save_safetensors, torch_file
from stylemap.checkpoint.safetensors_file import read_safetensors
from stylemap.cli import mask_files
from stylemap.data import lmdb_check
from stylemap.edit.masks import drawn, is_shape
from stylemap.editor import protocol
from stylemap.editor.limits import Limits
from stylemap.images import ImageError
from tests.checkpoint import test_pickles
from tests.helpers import needs, small

_LIMITS = Limits()
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Target(NamedTuple):
    """seeds: good inputs, and bad ones of every kind known."""

    name: str
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes], None]


def _file() -> Path:
    return Path(tempfile.mkdtemp(dir=_MEMORY)) / "input"


_PATH = _file()


def _pickle(data: bytes) -> None:
    """The pickle of a checkpoint: its container has a checksum, which nothing random passes."""
    storage = torch.UntypedStorage(16)

    def storages(key: str, dtype: torch.dtype, count: int) -> torch.UntypedStorage:
        if count * dtype.itemsize > 16:
            raise ValueError
        return storage

    reader = torch_file.Reader(io.BytesIO(data), storages)
    try:
        reader.load()
    except Exception:
        return  # `torch_file.read_content` makes one line of any


def _pickles() -> list[bytes]:
    bodies = {**test_pickles.HOSTILE, **test_pickles.NOT_A_CHECKPOINT, **test_pickles.DAMAGED}
    found = [b"\x80\x02" + body + b"." for body in bodies.values() if len(body) < 2000]
    arrays = test_pickles.array("f4", 2, bytes(8)), test_pickles.tensor(0, (2, 2), (2, 1))
    return found + [b"\x80\x02" + body + b"." for body in arrays]


def _checkpoint(data: bytes) -> None:
    _PATH.write_bytes(data)
    try:
        torch_file.read_content(_PATH)
    except CheckpointError as error:
        _one_line(error)


def _checkpoints() -> list[bytes]:
    found = []
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"a": torch.ones(4), "b": [1, "x"]}, file, _use_new_zipfile_serialization=zipped)
        found.append(file.getvalue())
    return found


def _safetensors(data: bytes) -> None:
    _PATH.write_bytes(data)
    try:
        read_safetensors(_PATH)
    except CheckpointError as error:
        _one_line(error)


def _headers() -> list[bytes]:
    path = _file()
    save_safetensors(small.model(), path)
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    metadata = json.loads(whole[8 : 8 + length])["__metadata__"]
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    found = []
    for header in ({"__metadata__": metadata, "encoder.a": tensor}, {"generator.a": tensor}, {}):
        text = json.dumps(header).encode()
        found.append(struct.pack("<Q", len(text)) + text + bytes(8))
    return found


def _lmdb(data: bytes) -> None:
    _PATH.write_bytes(data)
    try:
        lmdb_check.check_pages(_PATH)
    except ValueError as error:
        _one_line(error)


def _stores() -> list[bytes]:
    lmdb: ModuleType = needs.package("lmdb")
    found = []
    for count, size in ((0, 0), (3, 40), (60, 300), (2, 9000)):
        folder = Path(tempfile.mkdtemp(dir=_MEMORY))
        with lmdb.open(str(folder), map_size=1 << 20) as store, store.begin(write=True) as entries:
            for index in range(count):
                entries.put(f"16-{index:05d}".encode(), bytes(size))
        found.append((folder / "data.mdb").read_bytes())
    return found


def _mask(data: bytes) -> None:
    _PATH.write_bytes(data)
    try:
        mask_files.read(_PATH, max_pixels=1 << 20)  # larger ones only take longer
    except (ImageError, OSError) as error:
        _one_line(error)
    text = data[:100].decode("latin-1")
    if not is_shape(text):
        return
    try:
        drawn(text, 8)
    except ValueError as error:
        _one_line(error)


def _masks() -> list[bytes]:
    found = [b"box:0,0,1,1", b"ellipse:0.5,0.5,0.2,0.2"]
    grey = Image.fromarray(np.eye(4, dtype=np.uint8))
    deep = Image.fromarray(np.eye(4, dtype=np.uint16))
    for picture, kind in (
        (grey, "PNG"), (grey.convert("P"), "PNG"), (grey.convert("LA"), "PNG"), (grey.convert("1"), "PNG"),
        (deep, "PNG"), (grey, "BMP"), (grey, "GIF"), (grey, "TIFF"), (grey.convert("RGB"), "JPEG"),
    ):  # fmt: skip
        file = io.BytesIO()
        picture.save(file, kind)
        found.append(file.getvalue())
    return found


def _message(data: bytes) -> None:
    try:
        protocol.parse_binary(data, 8, _LIMITS)
    except protocol.ProtocolError as error:
        _one_line(error)


def _messages() -> list[bytes]:
    pixels = np.eye(8, dtype=np.uint8)
    points = np.zeros((2, 2), np.float32)
    stroke = struct.pack("<BBHI", protocol.STROKE, 0, 1, 1) + struct.pack("<ff", 2, 0.5) + points.tobytes()
    update = protocol.mask_update(1, 2, pixels)
    return [stroke, update, protocol.ack(3), protocol.camera_picture(1, b"x")]


def _scene(data: bytes) -> None:
    try:
        protocol.parse_text(data.decode("utf-8", errors="replace"), _LIMITS)
    except protocol.ProtocolError as error:
        _one_line(error)


def _scenes() -> list[bytes]:
    reference = {"image": "b", "mask": 1, "shift": [1, 2], "weight": 0.5}
    scenes = [{}, {"original": "a"}, {"original": "a", "references": [reference], "weight": 1}]
    return [json.dumps({"type": "scene", "seq": 1, "scene": scene}).encode() for scene in scenes]


def _one_line(error: Exception) -> None:
    text = str(error)
    assert text, "a refusal without a word"
    assert "\n" not in text, f"a refusal of several lines: {text!r}"
    assert len(text) < 1000, f"a refusal of {len(text)} characters"


TARGETS = [
    Target("pickles", _pickles, _pickle),
    Target("checkpoints", _checkpoints, _checkpoint),
    Target("safetensors", _headers, _safetensors),
    Target("lmdb", _stores, _lmdb),
    Target("masks", _masks, _mask),
    Target("messages", _messages, _message),
    Target("scenes", _scenes, _scene),
]
