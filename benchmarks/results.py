"""One run as a JSON document; schema.json says what is in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from stylemap.benchmarks import machine, timing
from stylemap.files import read_text, shown, write_whole

SCHEMA = Path(__file__).parent / "schema.json"
VERSION = 2
#: Parts that a document may hold, in the order of reports; each is a list of rows.
PARTS = ("ratios", "edit", "stages", "cold", "ops", "training", "scaling")


def document(
    parts: Mapping[str, Any], *, command: str, settings: Mapping[str, Any], device: torch.device, start: float
) -> dict[str, Any]:
    """``parts``: some of PARTS, ``skipped``, ``peaks``. ``start``: time.monotonic() when the run began."""
    return {
        "schema": VERSION,
        "timing": timing.VERSION,
        "command": command,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - start, 1),
        "machine": machine.describe(device),
        "settings": dict(settings),
        "skipped": [],
        **parts,
    }


def write(content: Mapping[str, Any], path: Path) -> Path:
    """Whole or not at all; one line per row, so that a diff shows what changed. Makes the folder."""
    entries = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join(f"  {_compact(row)}" for row in value)
            entries.append(f' "{key}": [\n{rows}\n ]')
        else:
            entries.append(f' "{key}": {_compact(value)}')
    with write_whole(path) as file:
        file.write(("{\n" + ",\n".join(entries) + "\n}\n").encode())
    return path


def read(path: Path) -> dict[str, Any]:
    """A document that `write` wrote.

    Raises:
        ValueError: something else; the message names the file.
    """
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        version = content["schema"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no result of stylemap bench") from error
    if version != VERSION:
        raise ValueError(f"{path} has schema {shown(version)}; this version of stylemap reads {VERSION}")
    return content


@contextmanager
def damage_named(*paths: Path) -> Iterator[None]:
    """What the block does not find in documents that it reads is told as damage of theirs, a ValueError."""
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{' or '.join(map(str, paths))} is damaged: {reason}") from error


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
