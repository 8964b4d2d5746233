"""stylemap interpolate: decode the stylemaps between two images."""

from __future__ import annotations

import argparse
from typing import Any

from PIL import Image

from stylemap import edit
from stylemap.cli import common, results, sources
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``interpolate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "interpolate", help="decode the stylemaps between two images", description=__doc__
    )
    sources.add_arguments(parser)
    parser.add_argument(
        "--frames", type=int, default=8, help="images per pair, both ends included (default: 8)"
    )
    results.add_arguments(parser, "folder for the frames")
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the frames between every pair of images, and the contact sheet."""
    common.check_counts(args, 1, "frames")
    pairs = sources.pair_up(args)
    parts = results.frame_parts(args.frames)
    output = results.Output.of(args, sources.pair_stems(pairs), sources.paths(pairs), parts=parts)
    model = common.load_for_edits(args)
    encode = sources.Encoder(model, args)
    towards_b = edit.frame_weights(args.frames)
    shown = set(common.shown_of(args.frames))
    rows: list[Row] = []

    def sheet() -> Image.Image:
        note = "Under each decoded image: whose stylemap it has."
        return contact_sheet(rows, title="Interpolation", note=note)

    steps = common.progress(range(output.count), "interpolate")
    with output.keeping(sheet):
        for (a, b), name in zip(pairs, output.names):
            (first, w1), (second, w2) = encode.pair(a, b)
            tiles = [Tile(common.thumbnail(first), a.label)]
            for index, weight in enumerate(towards_b):
                frame = edit.interpolate(model, w1, w2, 1 - weight)[0].cpu()
                output.save(encode.album.returned(a.path, frame), name + parts[index])
                next(steps)
                if index in shown and len(rows) < common.MAX_ROWS:
                    tiles.append(Tile(common.thumbnail(frame), _share(1 - weight, a.label, b.label)))
            if len(rows) < common.MAX_ROWS:
                rows.append([*tiles, Tile(common.thumbnail(second), b.label)])
    next(steps, None)  # past the last: it finishes its line
    output.finish(sheet())


def _share(weight: float, a: str, b: str) -> str:
    """Whose stylemap a frame has: at the ends it is the decoded image of one alone."""
    if weight in (0, 1):
        return f"{a if weight else b}, decoded"
    return f"{weight:.0%} {a}, {1 - weight:.0%} {b}"
