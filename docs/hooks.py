"""The site's generated parts: the command reference, and links out of the documentation's folder."""

from __future__ import annotations

import argparse
import re
from typing import Any

from mkdocs.structure.files import File, Files

from stylemap.cli.app import build_parser

_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds commands.md, written from the parsers."""
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The site has no files beside docs/: links to them become their names."""
    return _OUTWARD.sub(lambda link: _named(*link.groups()), markdown)


def _named(text: str, path: str) -> str:
    return text if text.strip("`") == path else f"{text} (`{path}`)"


def commands() -> str:
    """Every command's help, in the order of the main one."""
    parser = build_parser()
    parts = ["# Commands", f"```text\n{parser.format_help()}```"]
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in subparsers.choices.items():
        parts += [f"## stylemap {name}", f"```text\n{command.format_help()}```"]
    return "\n\n".join(parts) + "\n"
