"""How commands are written: any order, values with a minus; what an unknown word may have meant."""

from __future__ import annotations

import argparse
import difflib
import math
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

# -8,4 and -.5 are values; a flag is a minus and a letter.
_NEGATIVE = re.compile(r"-(\d|\.\d|inf\b|nan\b)")
_CHOICE = re.compile(r"argument ([^:]+): invalid choice: '?(.*?)'? \(choose from (.*)\)$", re.DOTALL)


_PATHS = ("PATH", "IMAGE", "A", "B")


class Parser(argparse.ArgumentParser):
    """argparse, with its errors on one line, which say what may have been meant."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse's, of arguments that `arranged` has put in order."""
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(arranged(self, words), namespace)

    def _get_value(self, action, arg_string):  # type: ignore[no-untyped-def]
        """As argparse's; numbers that no option has a use for are wrong usage."""
        value = super()._get_value(action, arg_string)  # type: ignore[misc]
        # Of a variable that is not set: else this folder. argparse asks for defaults, too, and for all words.
        path = action.metavar in _PATHS
        if arg_string == "" and (path or (action.default != "" and action.nargs != argparse.PARSER)):
            what = "a path" if path else "a value"
            raise argparse.ArgumentError(action, f"expected {what}, got an empty text")
        if arg_string == "-" and action.dest == "output":
            raise argparse.ArgumentError(action, "results are files, not stdout; ./- is one called -")
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                raise argparse.ArgumentError(action, f"expected a finite number, got {arg_string}")
            if isinstance(one, int) and not -(2**63) <= one < 2**63:
                raise argparse.ArgumentError(
                    action, f"expected a number of 64 bits, got {_short(arg_string)}"
                )
        return value

    def error(self, message: str) -> NoReturn:
        """Leave with status 2, after one line on stderr."""
        self.exit(2, f"{self.prog}: error: {_meant(message)} (see {self.prog} --help)\n")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def near(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like this one; "" where none does."""
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, 1, 0.6)
    return lower[found[0]] if found else ""


def arranged(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """The arguments of a command with positional ones first, and every value at its flag, --flag=value.

    So a value may begin with a minus, and positional arguments may stand anywhere. What follows the name of a
    sub-command is left to its parser. A flag that is none ends the program here, before argparse says that
    others are missing.
    """
    commands = _commands(parser)
    plain: list[str] = []
    flagged: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            plain += [f"./{rest}" if rest.startswith("-") else rest for rest in words[index:]]
            break
        if commands and not word.startswith("-"):
            return [*flagged, word, *words[index:]]
        if not _is_flag(word):
            plain.append(word)
            continue
        action = _action(parser, word)
        flagged.append(word)
        if action is None or "=" in word or action.nargs == 0:
            continue
        if action.nargs is None and index < len(words) and not _is_flag(words[index]):
            flagged[-1] = f"{_long(action, word)}={words[index]}"
            index += 1
        elif action.nargs is not None:
            room = action.nargs if isinstance(action.nargs, int) else 1 if action.nargs == "?" else len(words)
            while room and index < len(words) and not _is_flag(words[index]):
                flagged.append(words[index])
                index += 1
                room -= 1
    return plain + flagged


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NEGATIVE.match(word) and " " not in word


def _long(action: argparse.Action, word: str) -> str:
    return max(action.option_strings, key=len) if not word.startswith("--") else word


def _action(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """The flag that a word is, or begins; None for one that argparse shall judge. Unknown ones are errors."""
    flags = {flag: action for action in parser._actions for flag in action.option_strings}
    name = word.partition("=")[0]
    if name in flags:
        return flags[name]
    found = [flag for flag in flags if flag.startswith(name)] if name.startswith("--") else []
    if len(found) == 1:
        return flags[found[0]]
    if found or (not name.startswith("--") and name[:2] in flags):
        return None
    shown = [flag for flag, action in flags.items() if action.help != argparse.SUPPRESS]
    meant = near(name, shown)
    hint = f"; did you mean {meant}?" if meant else ""
    parser.error(f"no flag {name}{hint}")


def _commands(parser: argparse.ArgumentParser) -> bool:
    return any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)


def _meant(message: str) -> str:
    """argparse's message, shorter where a choice is wrong: what may have been meant, or all there are."""
    match = _CHOICE.match(message)
    if match is None:
        return message
    argument, given, choices = match.groups()
    known = [choice.strip().strip("'\"") for choice in choices.split(",")]
    meant = near(given, known)
    what = f"no command {given!r}" if argument == "COMMAND" else f"{argument}: no {given!r}"
    return f"{what}; did you mean {meant}?" if meant else f"{what}; there are {', '.join(known)}"
