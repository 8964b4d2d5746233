"""stylemap mix: layout of one image, details of another (style mixing)."""

from __future__ import annotations

import argparse
from typing import Any

from stylemap import edit, images
from stylemap.cli import common
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``mix`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "mix", help="mix the stylecodes of two images", description=__doc__
    )
    parser.add_argument("a", metavar="A", help="image file or folder")
    parser.add_argument("b", metavar="B", help="image file or folder; one goes with all of the other")
    parser.add_argument(
        "--take",
        type=_take,
        default="coarse",
        metavar="WHAT",
        help="coarse: A's first two stylecodes, the rest from B (default); fine: B's first two, the rest "
        "from A; or the indices of the codes from B, as in 0,1,5",
    )
    common.add_output_arguments(parser, "folder for the results, or a file for a single one")
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Mix the stylecodes of every pair of images and write the results."""
    pairs = common.pair_up(images.find([args.a]), images.find([args.b]))
    output = common.Output.of(args, len(pairs))
    model = common.load_for_edits(args)
    names = common.unique_names([a.with_name(f"{a.stem}_{b.stem}.png") for a, b in pairs])
    rows: list[Row] = []
    for (a, b), name in common.progress(list(zip(pairs, names)), "mix"):
        first, second = common.read(model, a, args), common.read(model, b, args)
        result = edit.mix_styles(model, model.encode(first), model.encode(second), take=args.take)
        output.save(result, name)
        if len(rows) < common.MAX_ROWS:
            rows.append([Tile(first[0].cpu(), a.name), Tile(second[0].cpu(), b.name), Tile(result[0].cpu())])
    words = {"coarse": "all stylecodes but the first two", "fine": "the first two stylecodes"}
    take = words[args.take] if isinstance(args.take, str) else f"stylecodes {', '.join(map(str, args.take))}"
    sheet = contact_sheet(rows, title="Style mixing", note=f"From B: {take}.", columns=["A", "B", "mixed"])
    output.finish(len(pairs), sheet)


def _take(text: str) -> str | list[int]:
    if text in ("coarse", "fine"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected coarse, fine or code indices as in 0,1,5, got {text!r}"
        ) from None
