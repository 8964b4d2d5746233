"""One job of a bulk run: a row of the input, and its parameters."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stylemap.config import MAX_SIZE

#: What each operation takes beside the original, and which of it a job cannot do without.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "encode": (),
    "reconstruct": (),
    "edit": ("reference", "mask", "shift", "weight"),
    "manipulate": ("direction", "strength", "mask"),
    "mix": ("reference", "take"),
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "encode": (),
    "reconstruct": (),
    "edit": ("reference", "mask"),
    "manipulate": ("direction",),
    "mix": ("reference",),
}
FARTHEST = 1000  # of weights and strengths: no model was trained for what is as far from its mean
_MAX_NAME = 120  # bytes: with a number and a suffix below what any file system takes
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Job:
    """What one result is made of.

    index: of the row in the input, from 0.
    name: stem of the result's file, safe on any file system; unique together with ``index``.
    original: absolute path of a file, or a URL that fsspec opens; of an image in an archive the archive's.
    entry: in an archive: the key of an LMDB, or the name in a tar file.
    span: in a tar file: where the image's bytes begin, and how many they are.
    options: the parameters of the operation, by the names in `OPERATIONS`, checked.
    fault: why the row is no job; "" where it is one.
    """

    index: int
    name: str
    original: str
    entry: str = ""
    span: tuple[int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def label(self) -> str:
        """What manifests and errors call the original."""
        return f"{self.original}#{self.entry}" if self.entry else self.original

    def line(self) -> str:
        """The job as one line of JSON; `of_line` reads it."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in ("", None, {})})

    @classmethod
    def of_line(cls, line: str | bytes) -> Job:
        """The job that `line` wrote."""
        values = json.loads(line)
        if values.get("span") is not None:
            values["span"] = tuple(values["span"])
        return cls(**{"name": "", "original": "", **values})


def safe_name(text: str) -> str:
    """A stem that any file system takes: letters, digits, and ``_ . -`` for the rest; never empty."""
    name = _UNSAFE.sub("_", text).lstrip(".") or "_"
    while len(os.fsencode(name)) > _MAX_NAME:
        name = name[:-1]
    return name


def checked(name: str, value: Any) -> Any:
    """A parameter of a job as it is computed with, from what a table or a flag holds.

    Raises:
        ValueError: no such value; the message names the parameter.
    """
    try:
        if name in ("weight", "strength"):
            return _number(value, FARTHEST)
        if name == "shift":
            dx, dy = (
                _number(one, MAX_SIZE) for one in (value.split(",") if isinstance(value, str) else value)
            )
            return [dx, dy]
        if name == "take":
            return _take(value)
    except (TypeError, ValueError, OverflowError):
        expected = {
            "shift": f"two numbers as in -8,4, up to {MAX_SIZE}",
            "take": "coarse, fine or indices of codes as in 0,1,5",
        }.get(name, f"a number from -{FARTHEST} to {FARTHEST}")
        raise ValueError(f"{name}: expected {expected}, got {value!r}") from None
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a text, got {value!r}")
    return value


def _number(value: Any, most: float) -> float:
    number = float(value)
    if isinstance(value, bool) or not abs(number) <= most:
        raise ValueError
    return number


def _take(value: Any) -> str | list[int]:
    if value in ("coarse", "fine"):
        return str(value)
    return [int(part) for part in (value.split(",") if isinstance(value, str) else value)]
