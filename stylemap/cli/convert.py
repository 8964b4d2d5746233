"""stylemap convert: a checkpoint in the other layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stylemap import checkpoint
from stylemap.cli import card, common, results, said

_OF_CARDS = ("data", "license", "metrics", "images")


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``convert`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help="published .pt to .safetensors and back; a model card",
        description="Write a checkpoint as .safetensors or in the published .pt layout, as OUTPUT ends. "
        "Weights are kept bit for bit unless --precision asks for another type.",
    )
    parser.add_argument("--model", metavar="FILE", help="checkpoint to read")
    parser.add_argument("-o", "--output", metavar="FILE", help="file to write, .safetensors or .pt")
    # As it was written once; --model and --output are the spelling of all commands.
    parser.add_argument("files", nargs="*", metavar="FILE", help=argparse.SUPPRESS)
    results.add_overwrite(parser)
    parser.add_argument("--precision", choices=sorted(common.PRECISIONS), help="default: as in the input")
    group = parser.add_argument_group("model card")
    group.add_argument(
        "--card",
        action="store_true",
        help="also write README.md, config.json and pictures beside OUTPUT, as the Hugging Face Hub has "
        "them; what is there stays, unless --overwrite is given",
    )
    group.add_argument("--data", metavar="TEXT", help="what it was trained on (default: what it notes)")
    group.add_argument(
        "--license",
        metavar="ID",
        help="of the weights, by the Hub's name: apache-2.0, cc-by-nc-4.0, other, …",
    )
    group.add_argument("--metrics", metavar="FILE", help="what stylemap evaluate --output wrote")
    group.add_argument(
        "--images", metavar="PATH", help="photos to show decoded: a file, or up to 8 of a folder"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Read a checkpoint and write it in the layout that the suffix of OUTPUT names, with a card if wanted."""
    dtype = None if args.precision is None else common.PRECISIONS[args.precision]
    source, target = _files(args)
    beside: dict[Path, bytes] = {}
    if args.card:
        beside = _card(args, source, target)
    else:
        given = [f"--{name}" for name in _OF_CARDS if getattr(args, name) is not None]
        if given:
            raise ValueError(f"{given[0]} is of model cards: add --card")
    if not args.overwrite:
        results.refuse_inputs([target], [source])
    with card.write(beside):
        checkpoint.convert(source, target, dtype=dtype)
    said.note(model=source, output=target, bytes=target.stat().st_size, card=list(beside))
    said.say(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")
    if beside:
        said.say(f"wrote {', '.join(map(str, beside))}")


def _files(args: argparse.Namespace) -> tuple[Path, Path]:
    files = [args.model, args.output]
    for name in args.files:
        if None not in files:
            raise ValueError(f"two files are needed, --model and --output; {name} is one more")
        files[files.index(None)] = name
    if None in files:
        raise ValueError("two files are needed: --model FILE --output FILE")
    return checkpoint.locate(files[0]), Path(files[1])


def _card(args: argparse.Namespace, source: Path, target: Path) -> dict[Path, bytes]:
    """What is written beside the weights, once it is sure that nothing of the user's is there."""
    taken = [path for path in card.names(target) if path.exists()]
    if taken and not args.overwrite:
        raise FileExistsError(f"{taken[0]} is there already: name another folder, or say --overwrite")
    metrics, photos = (None if name is None else Path(name) for name in (args.metrics, args.images))
    known = card.facts(source, args.data, args.license, metrics, photos)
    return card.files(source, target, known)
