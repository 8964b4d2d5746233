"""Running the command, and comparing what two runs wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stylemap.cli import main


def bulk(operation: str, source: object, output: Path, model: str, *arguments: object) -> int:
    words = ["bulk", operation, source, "-o", output, "--model", model, "--quiet", *arguments]
    return main(list(map(str, words)))


def rows(output: Path) -> list[dict[str, Any]]:
    """The manifest, without times."""
    found = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in found)
    return found


def contents(output: Path) -> dict[str, Any]:
    """All that a run wrote, to the byte, but for the times in manifests."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        if path.is_file():
            name = path.relative_to(output).as_posix()
            found[name] = path.read_bytes()
            if "manifest" in name:
                lines = [json.loads(line) for line in found[name].splitlines()]
                found[name] = [{**line, "seconds": 0} for line in lines]
    return found
