"""stylemap manipulate: move images along a direction found by ``stylemap direction``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stylemap import edit, images
from stylemap.cli import common, masks
from stylemap.sheets import Row, Tile, contact_sheet, overlay


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``manipulate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "manipulate", help="move images along a direction", description=__doc__
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("--direction", required=True, metavar="FILE", help=".npz or .safetensors")
    parser.add_argument(
        "--strength",
        required=True,
        type=_numbers,
        metavar="D[,D…]",
        help="how far; several make one image each, as in --strength=-10,0,10 (mind the = before a minus)",
    )
    parser.add_argument(
        "--mask", metavar="MASK", help=f"change only the stylemap cells it touches; {masks.HELP}"
    )
    common.add_output_arguments(parser, "folder for the results, or a file for a single one")
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Move every image along the direction, once for each strength; write the results."""
    paths = images.find(args.images)
    output = common.Output.of(args, len(paths) * len(args.strength))
    model = common.load_for_edits(args)
    direction = edit.load_direction(args.direction, model.config.stylemap_shape)
    rows: list[Row] = []
    for path, name in common.progress(list(zip(paths, common.unique_names(paths))), "manipulate"):
        photo = common.read(model, path, args)
        mask = None if args.mask is None else masks.read_mask(args.mask, model.config.size, [path], args.fit)
        w = edit.manipulate(model.encode(photo), direction.vector, args.strength, mask)
        results = [model.decode(one[None])[0].cpu() for one in w]
        for strength, result in zip(args.strength, results):
            output.save(result, name if len(results) == 1 else f"{name}_{strength:+g}")
        if len(rows) < common.MAX_ROWS:
            shown = photo[0].cpu() if mask is None else overlay(photo[0], [mask])
            tiles = [
                Tile(result, f"{strength:+g}" if strength else "0")
                for strength, result in zip(args.strength, results)
            ]
            rows.append([Tile(shown, path.name), *tiles])
    sheet = contact_sheet(
        rows, title=f"Direction {Path(args.direction).stem}", note="Under each result: the strength."
    )
    output.finish(len(paths) * len(args.strength), sheet)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers as in 5 or -10,0,10, got {text!r}") from None
