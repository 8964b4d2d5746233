"""stylemap reconstruct: encode and decode photos."""

from __future__ import annotations

import argparse
from typing import Any

from stylemap import images
from stylemap.cli import common, photos, results
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``reconstruct`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "reconstruct", help="encode photos and decode them again", description=__doc__
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    photos.add_arguments(parser)
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Encode and decode every photo; write the results and their errors."""
    paths = images.find(args.images)
    output = results.Output.of(args, [path.stem for path in paths], paths, own=paths)
    model = common.load_for_edits(args)
    album = photos.Album(args, model)
    rows: list[Row] = []
    for path, name in common.progress(list(zip(paths, output.names)), "reconstruct"):
        photo = album.read(path)
        result = model.decode(album.encode(photo))
        output.save(album.returned(path, result, mode="replace"), name)
        if len(rows) < common.MAX_ROWS:
            error = float((result - photo).float().square().mean())
            rows.append(
                [Tile(photo[0].cpu(), path.name), Tile(result[0].cpu(), f"mean squared error {error:.4f}")]
            )
    sheet = contact_sheet(rows, title="Reconstruction", columns=["photo", "decoded"])
    output.finish(sheet)
