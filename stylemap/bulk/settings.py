"""What every worker of a bulk run has to know; it travels to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from stylemap import images
from stylemap.model import Model

# Choices that there were not from the first: runs that were begun before can go on.
_LATER = ("align", "crop", "paste", "shards")


class Masks(Protocol):
    """What reads the masks of jobs: a file or a shape to bool S×S."""

    def read(self, text: str, photos: Sequence[Path]) -> Tensor:
        """The mask; ``photos``: files whose size it may have."""


@dataclass(frozen=True)
class Settings:
    """How a bulk run computes and writes.

    output: the folder of the results, which all workers must reach under this path.
    publish: URL of the folder of a store where the results go; ``output`` is then where they are made, a
        folder of each machine's own.
    operation: a name in `OPERATIONS`.
    load: makes the model, in the process where it runs.
    masks: makes what reads masks, for the side of the model's images.
    check: raises ValueError for a direction that is not this model's.
    identity: what the results depend on beside the jobs; a run that goes on must have the same.
    kind: suffix of the images, or of the files of stylemaps (``.parquet``, ``.safetensors``).
    fit: how photos become square, see `stylemap.images.load`.
    align: a name in `stylemap.photo.CONVENTIONS`: photos are cut around their face. crop: or cut so, see
        `stylemap.photo.crop.parse`.
    paste: a name in `stylemap.photo.MODES`: results are whole photos, with what was made of their squares.
    shards: whether the images of a chunk go into one tar file, as WebDataset has them.
    chunk: rows that a worker takes at once, and of one file of stylemaps.
    batch: rows that are computed together, and redone after a kill. On a GPU the bits may depend on it.
    threads: of one worker, on a CPU.
    fail_fast: the first row that fails ends the run.
    """

    output: Path
    operation: str
    load: Callable[[], Model]
    masks: Callable[[int], Masks]
    check: Callable[[str], None] = lambda name: None
    identity: dict[str, Any] = field(default_factory=dict)
    kind: str = ".png"
    fit: images.Fit = "crop"
    align: str = ""
    crop: str = ""
    paste: str = ""
    publish: str = ""
    shards: bool = False
    chunk: int = 256
    batch: int = 8
    threads: int | None = None
    fail_fast: bool = False

    def facts(self) -> dict[str, Any]:
        """What run.json holds: all that decides what the results are."""
        return {
            "operation": self.operation,
            "kind": self.kind,
            "fit": self.fit,
            **{
                name: getattr(self, name)
                for name in ("align", "crop", "paste", "shards")
                if getattr(self, name)
            },
            "chunk": self.chunk,
            "batch": self.batch,
            **self.identity,
        }


def digest(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder with their names; hexadecimal."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        if path.is_dir():
            found.update(str(file.relative_to(path)).encode() + b"\0")
        with open(file, "rb") as opened:
            while data := opened.read(1 << 20):
                found.update(data)
    return found.hexdigest()
