"""The command line: ``stylemap COMMAND``.

A command is a module with ``add_parser(subparsers)``, which returns its parser, and ``run(args)``;
list it in COMMANDS.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn, TextIO

import stylemap
from stylemap.checkpoint import CheckpointError
from stylemap.cli import streams

COMMANDS = (
    "info",
    "reconstruct",
    "sample",
    "interpolate",
    "edit",
    "mix",
    "transplant",
    "manipulate",
    "direction",
    "invert",
    "convert",
    "data",
    "train",
    "evaluate",
    "export",
    "edit-server",
    "bench",
)

# What bad input, missing packages, full disks and devices out of memory raise. Anything else is a
# fault of this program.
EXPECTED = (OSError, ValueError, ImportError, ArithmeticError, RuntimeError, MemoryError, CheckpointError)


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, with every command of `COMMANDS`."""
    parser = _Parser(prog="stylemap", description="Edit images with StyleMapGAN.")
    parser.add_argument("--version", action="version", version=f"stylemap {stylemap.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"stylemap.cli.{name.replace('-', '_')}")
        command = module.add_parser(subparsers)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0, 1 after an error (one line on stderr), 130 when interrupted.

    Wrong usage ends in SystemExit(2), as argparse does.
    """
    streams.prepare()
    args = _at_home(build_parser().parse_args(argv))
    try:
        args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        streams.tell("stylemap: interrupted")
        return 130
    except BrokenPipeError:
        streams.drop(sys.stdout)  # else the interpreter tries once more to write what is left
        return 1
    except Exception as error:
        text = traceback.format_exc() if args.debug else ""
        streams.tell(text or f"stylemap {args.command}: error: {one_line(error)}")
        _flush_or_drop(sys.stdout)
        return 1
    return 0


def _at_home(args: argparse.Namespace) -> argparse.Namespace:
    """Arguments with ~ and ~user as the shell writes them where it sees one: it does not in --output=~/x."""
    for name, value in vars(args).items():
        if isinstance(value, str):
            setattr(args, name, os.path.expanduser(value))
        elif isinstance(value, list):
            setattr(args, name, [os.path.expanduser(v) if isinstance(v, str) else v for v in value])
    return args


def _flush_or_drop(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        streams.drop(stream)


def one_line(error: Exception) -> str:
    """The message of an error on one line: for an OSError the file and the reason.

    An error that is not in `EXPECTED` is a fault of this program, and the message says so.
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, EXPECTED):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (a fault of stylemap; --debug shows where)"
