"""Completion of commands, flags and files in the shell: a script that shtab writes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from stylemap.optional import require

SHELLS = ("bash", "zsh", "tcsh")
_FILES = ("FILE", "PATH", "IMAGE", "MASK", "CSV", "JSON", "BEFORE", "AFTER", "INPUT", "OUTPUT", "CHECKPOINT")
_FOLDERS = ("DIR", "FOLDER")


class PrintCompletion(argparse.Action):
    """--print-completion SHELL: write the script on stdout and leave."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Write the script."""
        print(script(parser, str(values)))
        parser.exit()


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of a parser for one of `SHELLS`.

    Raises:
        ImportError: shtab is not installed.
    """
    shtab = require("shtab", "shell completion")
    for one in parsers(parser):
        for action in one._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of all its commands and their parts."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                found += parsers(part)
    return found
