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
from typing import TextIO

import stylemap
from stylemap import checkpoint, images
from stylemap.checkpoint import CheckpointError
from stylemap.cli import completion, limits, said, signals, streams, torchrun, usage
from stylemap.optional import explained

COMMANDS = (
    "info",
    "reconstruct",
    "sample",
    "interpolate",
    "edit",
    "mix",
    "transplant",
    "manipulate",
    "bulk",
    "direction",
    "invert",
    "convert",
    "data",
    "train",
    "evaluate",
    "export",
    "edit-server",
    "serve",
    "bench",
)

# What bad input, missing packages, full disks and devices out of memory raise. Anything else is a
# fault of this program.
EXPECTED = (OSError, ValueError, ImportError, ArithmeticError, RuntimeError, MemoryError, CheckpointError)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, with every command of `COMMANDS`."""
    parser = usage.Parser(prog="stylemap", description="Edit images with StyleMapGAN.")
    parser.add_argument("--version", action="version", version=f"stylemap {stylemap.__version__}")
    parser.add_argument(
        "--print-completion",
        action=completion.PrintCompletion,
        choices=completion.SHELLS,
        help="write a script that completes commands, flags and files in that shell",
    )
    parser.set_defaults(debug=False, quiet=False, json=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"stylemap.cli.{name.replace('-', '_')}")
        command = module.add_parser(subparsers)
        command.set_defaults(run=module.run)
        for part in completion.parsers(command):
            _add_speech(part)
    return parser


def _add_speech(parser: argparse.ArgumentParser) -> None:
    """The flags that every command has."""
    group = parser.add_argument_group("what it says")
    for flag, text in (
        ("--quiet", "nothing but warnings and errors"),
        ("--json", "the results as one JSON object on stdout, no progress"),
        ("--debug", "the traceback of an error"),
    ):
        # Without a default of its own: a part of a command would undo what stands before its name.
        group.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0, 1 after an error (one line on stderr), 130 when interrupted.

    Wrong usage ends in SystemExit(2), as argparse does.
    """
    streams.prepare()
    try:
        args = _at_home(build_parser().parse_args(argv))
    except ImportError as error:  # of what writes the completion
        streams.tell(f"stylemap: error: {one_line(error)}")
        return 1
    said.begin(quiet=args.quiet, json=args.json, command=args.command)
    try:
        limits.check(args)
        with signals.ends_in_order(args.command), signals.interrupted_for_certain():
            args.run(_located(args))
        said.finish()
        sys.stdout.flush()
    except KeyboardInterrupt:
        streams.tell("stylemap: interrupted")
        return 130
    except BrokenPipeError:
        streams.drop(sys.stdout)  # else the interpreter tries once more to write what is left
        return 1
    except Exception as error:
        text = traceback.format_exc() if args.debug else ""
        line = one_line(explained(error, args.command) or error)
        if isinstance(error, images.UnreadableError) and _can_skip(args, line):
            line += "; --skip-corrupt goes on without it"
        said.fail(line)
        streams.tell(text or f"stylemap {args.command}: error: {line}")
        torchrun.tell(f"stylemap {args.command}: error: {line}")
        _flush_or_drop(sys.stdout)
        return 1
    finally:
        said.begin()
    return 0


def _can_skip(args: argparse.Namespace, line: str) -> bool:
    """Whether the command would go on without the file that an error begins with."""
    if getattr(args, "skip_corrupt", args.command != "train"):
        return False
    named = getattr(args, "skippable", None)  # None: all the command reads is a data set
    if named is None:
        return args.command in ("train", "evaluate", "data")
    return any(line.startswith(f"{path} ") for path in named)


def _at_home(args: argparse.Namespace) -> argparse.Namespace:
    """Arguments with ~ and ~user as the shell writes them where it sees one: it does not in --output=~/x."""
    for name, value in vars(args).items():
        if isinstance(value, str):
            setattr(args, name, os.path.expanduser(value))
        elif isinstance(value, list):
            setattr(args, name, [os.path.expanduser(v) if isinstance(v, str) else v for v in value])
    return args


def _located(args: argparse.Namespace) -> argparse.Namespace:
    """Arguments in which a model of the Hub, or a folder with weights, is the file that `locate` finds."""
    for name in ("model", "checkpoint", "start_from"):
        value = getattr(args, name, None) or ""
        if isinstance(value, list):  # of the editor, which takes several
            continue
        if checkpoint.is_remote(value) or (os.path.isdir(value) and not _is_exported(value)):
            setattr(args, name, str(checkpoint.locate(value)))
    return args


def _is_exported(folder: str) -> bool:
    from stylemap.export.runtime import is_exported

    return is_exported(folder)


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
        return _with_reason(error, f"{error.filename}: {error.strerror}")
    text = " ".join(str(error).split())
    if isinstance(error, EXPECTED):
        return _with_reason(error, text or type(error).__name__)
    return f"{type(error).__name__}: {text} (a fault of stylemap; --debug shows where)"


def _with_reason(error: Exception, line: str) -> str:
    """The line, with what explains it where a name without a folder means nothing: its folder is gone."""
    if not isinstance(error, FileNotFoundError):
        return line
    try:
        os.getcwd()
        return line
    except FileNotFoundError as missing:
        gone = f"the current folder{_left()} was deleted"
        return gone if line == str(missing) else f"{line} ({gone})"


def _left() -> str:
    """The path that a deleted current folder had, where the system still tells, after a space."""
    try:
        return " " + os.readlink("/proc/self/cwd").removesuffix(" (deleted)")
    except OSError:
        return ""
