"""The report of a result: one HTML file that needs nothing else, and the same tables in Markdown."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylemap.benchmarks import tables
from stylemap.benchmarks.models import TITLES

from stylemap.files import write_whole


def summary(content: Mapping[str, Any]) -> str:
    """What a terminal shows at the end."""
    parts = [tables.machine(content)]
    if goals := tables.goals(content):
        parts.append(goals)
    for model in tables.models(content):
        parts.append(f"{TITLES[model]}\n\n{tables.latencies(content, model)}")
    return "\n\n".join([*parts, *(f"left out: {line}" for line in content["skipped"])])


def write(content: Mapping[str, Any], folder: Path, stem: str = "bench") -> Sequence[Path]:
    """stem.md and stem.html in a folder; what was written."""
    written = [folder / f"{stem}.md"]
    with write_whole(written[0]) as file:
        file.write(f"{text(content)}\n".encode())
    return written


def text(content: Mapping[str, Any]) -> str:
    """All tables as Markdown, with headings."""
    parts = [f"# stylemap bench\n\n{tables.machine(content)}."]
    for title, table in sections(content):
        parts.append(f"## {title}\n\n{table}")
    if content["skipped"]:
        parts.append("## Left out\n\n" + "\n".join(f"- {html.escape(line)}" for line in content["skipped"]))
    return "\n\n".join(parts)


def sections(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Titles and tables of what was measured."""
    found = []
    if goals := tables.goals(content):
        found.append(("Goals", goals))
    for model in tables.models(content):
        found.append((f"{TITLES[model]}: backends", tables.latencies(content, model)))
        for precision in tables.PRECISIONS:
            if any(
                (row["model"], row["backend"], row["precision"]) == (model, "engine", precision)
                for row in content["edit"]
            ):
                table = tables.frames(content, model, precision)
                found.append((f"{TITLES[model]}: stylemap, {precision}", table))
    for part, title, table in (
        ("cold", "Cold start and memory", tables.cold_starts),
        ("ops", "Operators", tables.operators),
        ("training", "Training", tables.training),
    ):
        if content.get(part):
            found.append((title, table(content)))
    return found
