"""stylemap interpolate: decode the stylemaps between two images."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from stylemap import edit, images
from stylemap.cli import common
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``interpolate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "interpolate", help="decode the stylemaps between two images", description=__doc__
    )
    parser.add_argument("start", metavar="A", help="image file or folder")
    parser.add_argument("end", metavar="B", help="image file or folder; one goes with all of the other")
    parser.add_argument(
        "--frames", type=int, default=8, help="images per pair, both ends included (default: 8)"
    )
    common.add_output_arguments(parser, "folder for the frames")
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the frames between every pair of images, and the contact sheet."""
    if args.frames < 1:
        raise ValueError(f"--frames must be at least 1, got {args.frames}")
    pairs = common.pair_up(images.find([args.start]), images.find([args.end]))
    output = common.Output.of(args, len(pairs) * args.frames)
    model = common.load_for_edits(args)
    towards_b = edit.frame_weights(args.frames)
    rows: list[Row] = []
    names = common.unique_names([a.with_name(f"{a.stem}_{b.stem}.png") for a, b in pairs])
    for (a, b), name in common.progress(list(zip(pairs, names)), "interpolate"):
        photos = torch.cat([common.read(model, path, args) for path in (a, b)])
        w = model.encode(photos)
        frames = edit.interpolate(model, w[:1], w[1:], [1 - weight for weight in towards_b]).cpu()
        for index, frame in enumerate(frames):
            output.save(frame, f"{name}_{index:03d}")
        if len(rows) < common.MAX_ROWS:
            tiles = [Tile(frame, f"{1 - weight:.2f}") for frame, weight in zip(frames, towards_b)]
            rows.append([Tile(photos[0].cpu(), a.name), *tiles, Tile(photos[1].cpu(), b.name)])
    sheet = contact_sheet(
        rows, title="Interpolation", note="Under each decoded image: the weight of the left photo's stylemap."
    )
    output.finish(len(pairs) * args.frames, sheet)
