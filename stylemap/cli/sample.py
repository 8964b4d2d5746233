"""stylemap sample: decode random stylemaps."""

from __future__ import annotations

import argparse
import math
from typing import Any

from stylemap import edit
from stylemap.cli import common
from stylemap.sheets import Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``sample`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "sample", help="make random images", description=__doc__
    )
    parser.add_argument("--count", type=int, default=16, help="how many (default: 16)")
    parser.add_argument(
        "--truncation", type=float, default=0.7, help="0 is the mean image, 1 full variety (default: 0.7)"
    )
    common.add_output_arguments(parser, "folder for the images, or a file for a single one")
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write random images and the contact sheet."""
    if args.count < 1:
        raise ValueError(f"--count must be at least 1, got {args.count}")
    output = common.Output.of(args, args.count)
    model = common.load_for_edits(args)
    mean = model.mean_stylemap() if args.truncation != 1 else None
    z = edit.latents(model, args.count, args.seed)
    tiles: list[Tile] = []
    for index in common.progress(range(args.count), "sample"):
        image = model.sample(z[index : index + 1], truncation=args.truncation, mean_stylemap=mean)[0].cpu()
        output.save(image, f"sample_{index:04d}")
        if len(tiles) < 8 * common.MAX_ROWS:
            tiles.append(Tile(image, str(index)))
    across = min(8, math.ceil(math.sqrt(len(tiles))))
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    sheet = contact_sheet(rows, title="Samples", note=f"Seed {args.seed}, truncation {args.truncation:g}.")
    output.finish(args.count, sheet)
