"""Checkpoints to damage, and what a refusal must look like."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap.checkpoint import CheckpointError, load, save_safetensors
from tests.helpers import small


def refused(path: Path) -> str:
    """The error of loading: one line that begins with the path, and no allocation worth mentioning."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    return message.removeprefix(f"{path}: ")


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def safetensors_header(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Rewrite the header of a good file."""
    save_safetensors(small.model(), path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path
