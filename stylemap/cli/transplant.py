"""stylemap transplant: paste rectangles of the reference's stylemap anywhere in the original's."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from PIL import Image

from stylemap import edit
from stylemap.cli import common, photos, results
from stylemap.sheets import Row, Tile, contact_sheet, overlay


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``transplant`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "transplant", help="paste cells of one stylemap into another", description=__doc__
    )
    parser.add_argument("--original", required=True, metavar="PATH", help="image file or folder")
    parser.add_argument("--reference", required=True, metavar="PATH", help="image file or folder")
    parser.add_argument(
        "--box",
        required=True,
        action="append",
        type=_box,
        metavar="SY,SX,RY,RX,H,W",
        help="cells: H x W of them, from row RY, column RX of the reference to row SY, column SX of the "
        "original; repeat it for more, pasted in order",
    )
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    photos.add_arguments(parser, references=True)
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Copy the cells from the reference to the original of every pair; write the results."""
    pairs = common.pair_up(photos.find(args, [args.original]), photos.find(args, [args.reference]))
    stems, read = [original.stem for original, _ in pairs], [path for pair in pairs for path in pair]
    output = results.Output.of(args, stems, read)
    model = common.load_for_edits(args)
    album = photos.Album(args, model)
    size, cells = model.config.size, model.config.latent_spatial_size
    rows: list[Row] = []

    def sheet() -> Image.Image:
        note = f"Rectangles of a stylemap of {cells} x {cells} cells."
        columns = ["original", "decoded", "reference", "result"]
        return contact_sheet(rows, title="Transplantation", note=note, columns=columns)

    with output.keeping(sheet):
        for (original, reference), name in common.progress(list(zip(pairs, output.names)), "transplant"):
            second = album.read_reference(reference)
            w2 = album.encode(second)
            first = album.read(original)
            w = album.encode(first)
            result = model.decode(edit.transplant(w, w2, args.box))
            output.save(album.returned(original, result), name)
            if len(rows) < common.MAX_ROWS:
                source = [_rectangle(ry, rx, h, w, size, cells) for _, (ry, rx), h, w in args.box]
                target = [_rectangle(sy, sx, h, w, size, cells) for (sy, sx), _, h, w in args.box]
                rows.append(
                    [
                        Tile(overlay(first[0], target), original.name),
                        Tile(model.decode(w)[0].cpu(), f"{original.name}, not edited"),
                        Tile(overlay(second[0], source), f"from {reference.name}"),
                        Tile(result[0].cpu(), f"{original.name}, in the cells {reference.name}"),
                    ]
                )
    output.finish(sheet())


def _rectangle(y: int, x: int, height: int, width: int, size: int, cells: int) -> torch.Tensor:
    """The pixels of a rectangle of cells, bool size x size."""
    factor = size // cells
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[y * factor : (y + height) * factor, x * factor : (x + width) * factor] = True
    return mask


def _box(text: str) -> edit.Box:
    try:
        sy, sx, ry, rx, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected six whole numbers SY,SX,RY,RX,H,W, got {text!r}"
        ) from None
    return (sy, sx), (ry, rx), height, width
