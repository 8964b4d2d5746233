"""The JSON file beside an engine: what it is, where it runs, how it was verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylemap.export.description import Description

FORMAT = 1


@dataclass(frozen=True)
class Sidecar:
    """One engine.

    description: of its graph, as in the ONNX file; `verified` says how that file was compared.
    engine, onnx: SHA-256 of the engine and of the ONNX file it was built from.
    package, version: what built it. gpus: compute capabilities it runs on. gpu: name of the GPU it
    was built on; None when built ahead of time.
    batches: smallest, best and largest batch. max_references: of an editor, else 0.
    verified: how the engine itself was compared, with its error; or why it was not.
    layers: layers of the engine, each with the nodes of the ONNX graph that it holds.
    plugins: those that stand in it for nodes of that graph.
    """

    description: Description
    engine: str
    onnx: str
    package: str
    version: str
    gpus: tuple[str, ...]
    gpu: str | None
    batches: tuple[int, int, int]
    max_references: int
    version_compatible: bool
    weight_stripped: bool
    verified: Mapping[str, Any]
    layers: Mapping[str, list[str]]
    plugins: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text of the file, of format FORMAT."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "description"}
        first = {"format": FORMAT, "description": self.description.to_metadata()}
        return json.dumps({**first, **values}, indent=1)

    @classmethod
    def from_json(cls, text: str, name: str) -> Sidecar:
        """Inverse of :meth:`to_json`; ``name`` is the file's, for the error.

        Raises:
            ValueError: another content.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("it is of another version of stylemap")
            values["description"] = Description.from_metadata(values["description"], name)
            for key in ("gpus", "batches", "plugins"):
                values[key] = tuple(values[key])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} does not describe an engine ({error}): build it again") from error


def sidecar_path(engine: Path) -> Path:
    """x.engine → x.engine.json"""
    return engine.with_name(f"{engine.name}.json")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def read_sidecar(engine: Path) -> Sidecar:
    """The sidecar of an engine, which it describes byte for byte.

    Raises:
        FileNotFoundError: no engine, or no sidecar.
        ValueError: the sidecar is damaged, or stale: the engine has changed since it was written.
    """
    path = sidecar_path(engine)
    found = digest(engine)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{engine} has no {path.name} beside it: build the engine again") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} does not describe an engine: it is not text") from error
    sidecar = Sidecar.from_json(text, str(path))
    if sidecar.engine != found:
        raise ValueError(f"{path} is stale: it describes another engine than {engine.name}; build it again")
    return sidecar
