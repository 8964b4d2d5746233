"""The tables of README and docs/speed.md, written from the committed results by ``stylemap bench readme``.

What lies between ``<!-- bench:NAME -->`` and ``<!-- /bench -->`` is generated; it is empty without results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylemap.benchmarks import results, tables
from stylemap.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "speed.md")
RESULT = ROOT / "benchmarks" / "results" / "bench.json"
_BLOCK = re.compile(r"(<!-- bench:(\w+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


def _model(content: Mapping[str, Any]) -> str:
    """256 full, or the largest model there is."""
    return "full" if "full" in tables.models(content) else tables.models(content)[-1]


BLOCKS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "machine": lambda content: tables.machine(content) + ".",
    "goals": tables.goals,
    "short": lambda content: tables.like_for_like(content, _model(content)),
    "frames": lambda content: tables.frames(content, _model(content), "fp32"),
    "backends": lambda content: tables.latencies(content, _model(content)),
}


def generated(text: str, content: Mapping[str, Any] | None) -> str:
    """The text with its blocks as the results say.

    Raises:
        ValueError: a block of an unknown name.
    """

    def fill(match: re.Match[str]) -> str:
        opening, name, _, closing = match.groups()
        if name not in BLOCKS:
            raise ValueError(f"there is an unknown block bench:{name}; known are {', '.join(BLOCKS)}")
        body = "" if content is None else f"{BLOCKS[name](content)}\n"
        return f"{opening}{body}{closing}"

    return _BLOCK.sub(fill, text)


def update_all(*, check: bool = False) -> bool:
    """`update` of every document that has blocks; whether any changed."""
    changed = [update(check=check, readme=document) for document in DOCUMENTS]
    return any(changed)


def update(*, check: bool = False, readme: Path = DOCUMENTS[0], result: Path = RESULT) -> bool:
    """Write a document's blocks; whether they changed.

    Raises:
        ValueError: with ``check``, where they would change.
        OSError: there is no README, because this is an installed package.
    """
    text = readme.read_text()
    wanted = generated(text, results.read(result) if result.is_file() else None)
    if wanted == text:
        return False
    if check:
        raise ValueError(f"the tables of {readme.name} are not those of {result.name}: stylemap bench readme")
    with write_whole(readme) as file:
        file.write(wanted.encode())
    print(f"wrote {readme}")
    return True
