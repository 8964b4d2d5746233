"""stylemap convert: a checkpoint in the other layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stylemap import checkpoint
from stylemap.cli import common, results


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``convert`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help="published .pt to .safetensors and back",
        description="Write a checkpoint as .safetensors or in the published .pt layout, as OUTPUT ends. "
        "Weights are kept bit for bit unless --precision asks for another type.",
    )
    parser.add_argument("input", metavar="INPUT", help="checkpoint to read")
    parser.add_argument("output", metavar="OUTPUT", help="file to write, .safetensors or .pt")
    results.add_overwrite(parser)
    parser.add_argument("--precision", choices=sorted(common.PRECISIONS), help="default: as in the input")
    return parser


def run(args: argparse.Namespace) -> None:
    """Read a checkpoint and write it in the layout that the suffix of OUTPUT names."""
    dtype = None if args.precision is None else common.PRECISIONS[args.precision]
    if not args.overwrite:
        results.refuse_inputs([Path(args.output)], [Path(args.input)])
    checkpoint.convert(args.input, args.output, dtype=dtype)
    print(f"wrote {args.output} ({Path(args.output).stat().st_size / 1e6:.1f} MB)")
