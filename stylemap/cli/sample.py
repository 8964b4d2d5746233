"""stylemap sample: decode random stylemaps."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from stylemap import edit
from stylemap.cli import common, results
from stylemap.sheets import Tile, contact_sheet

if TYPE_CHECKING:
    from stylemap.model import Model


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``sample`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "sample", help="make random images", description=__doc__
    )
    parser.add_argument("--count", type=int, default=16, help="how many (default: 16)")
    parser.add_argument(
        "--truncation", type=float, default=0.7, help="0 is the mean image, 1 full variety (default: 0.7)"
    )
    results.add_arguments(parser, "folder for the images, or a file for a single one")
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write random images and the contact sheet."""
    common.check_counts(args, 1, "count")
    if args.class_name == "all":
        _every_class(args)
        return
    output = results.Output.of(args, _stems(args.count), [])
    model = common.load_for_edits(args)
    tiles: list[Tile] = []
    for index, image in enumerate(_images(model, args, "sample")):
        output.save(image, output.names[index])
        if len(tiles) < 8 * common.MAX_ROWS:
            tiles.append(Tile(image, str(index)))
    across = min(8, math.ceil(math.sqrt(len(tiles))))
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    sheet = contact_sheet(rows, title="Samples", note=f"Seed {args.seed}, truncation {args.truncation:g}.")
    output.finish(sheet)


def _stems(count: int) -> list[str]:
    return [f"sample_{index:04d}" for index in range(count)]


def _images(model: Model, args: argparse.Namespace, label: str) -> Iterator[Tensor]:
    mean = model.mean_stylemap() if args.truncation != 1 else None
    z = edit.latents(model, args.count, args.seed)
    for index in common.progress(range(args.count), label):
        yield model.sample(z[index : index + 1], truncation=args.truncation, mean_stylemap=mean)[0].cpu()


def _every_class(args: argparse.Namespace) -> None:
    """--count images of every class from the same z: a row of the sheet for each class."""
    whole = common.load_model(argparse.Namespace(**{**vars(args), "class_name": None}))
    names = getattr(whole, "class_names", ())  # an exported model has none
    if not names:
        raise ValueError("--class all: the model is not class-conditional")
    stems = [f"class_{number:02d}_{stem}" for number in range(len(names)) for stem in _stems(args.count)]
    output = results.Output.of(args, stems, [])
    rows = []
    for number, name in enumerate(names):
        model = common.load_for_edits(argparse.Namespace(**{**vars(args), "class_name": name}))
        row = []
        for index, image in enumerate(_images(model, args, name)):
            output.save(image, output.names[number * args.count + index])
            row.append(Tile(image, name if index == 0 else str(index)))
        rows.append(row[:8])
    note = f"Seed {args.seed}, truncation {args.truncation:g}; a row for each class."
    output.finish(contact_sheet(rows[: common.MAX_ROWS], title="Classes", note=note))
