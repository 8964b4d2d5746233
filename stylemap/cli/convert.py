"""stylemap convert: a checkpoint in the other layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stylemap import checkpoint
from stylemap.cli import common, results, said


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``convert`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help="published .pt to .safetensors and back",
        description="Write a checkpoint as .safetensors or in the published .pt layout, as OUTPUT ends. "
        "Weights are kept bit for bit unless --precision asks for another type.",
    )
    parser.add_argument("--model", metavar="FILE", help="checkpoint to read")
    parser.add_argument("-o", "--output", metavar="FILE", help="file to write, .safetensors or .pt")
    # As it was written once; --model and --output are the spelling of all commands.
    parser.add_argument("files", nargs="*", metavar="FILE", help=argparse.SUPPRESS)
    results.add_overwrite(parser)
    parser.add_argument("--precision", choices=sorted(common.PRECISIONS), help="default: as in the input")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read a checkpoint and write it in the layout that the suffix of OUTPUT names."""
    dtype = None if args.precision is None else common.PRECISIONS[args.precision]
    files = [args.model, args.output]
    for name in args.files:
        if None not in files:
            raise ValueError(f"two files are needed, --model and --output; {name} is one more")
        files[files.index(None)] = name
    if None in files:
        raise ValueError("two files are needed: --model FILE --output FILE")
    source, target = map(Path, files)
    if not args.overwrite:
        results.refuse_inputs([target], [source])
    checkpoint.convert(source, target, dtype=dtype)
    said.note(model=source, output=target, bytes=target.stat().st_size)
    said.say(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")
