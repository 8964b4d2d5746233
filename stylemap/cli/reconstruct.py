"""stylemap reconstruct: encode and decode photos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from stylemap.cli import clips, common, photos, results, said
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``reconstruct`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "reconstruct", help="encode photos and decode them again", description=__doc__
    )
    common.add_original_argument(parser)
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    photos.add_arguments(parser)
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Encode and decode every photo; write the results and their errors."""
    clip = clips.one_clip(args, common.originals(args))
    if clip is not None:
        _run_clip(args, clip)
        return
    paths = photos.find(args, common.originals(args))
    output = results.Output.of(args, [path.stem for path in paths], paths, own=paths)
    model = common.load_for_edits(args)
    album = photos.Album(args, model)
    rows: list[Row] = []

    def sheet() -> Image.Image:
        return contact_sheet(rows, title="Reconstruction", columns=["photo", "decoded"])

    with output.keeping(sheet):
        for path, name in common.progress(list(zip(paths, output.names)), "reconstruct"):
            photo = album.read(path)
            result = model.decode(album.encode(photo))
            output.save(album.returned(path, result, mode="replace"), name)
            error = float((result - photo).float().square().mean())
            said.add("errors", error)
            if len(rows) < common.MAX_ROWS:
                rows.append(
                    [
                        Tile(photo[0].cpu(), path.name),
                        Tile(result[0].cpu(), f"mean squared error {error:.4f}"),
                    ]
                )
    output.finish(sheet())


def _run_clip(args: argparse.Namespace, path: Path) -> None:
    """The same for the frames of a video."""
    model = common.load_for_edits(args)
    album = photos.Album(args, model)

    def row(frame: clips.Frame, image: Tensor) -> Row:
        error = float((image - frame.photo[0].cpu()).square().mean())
        return [
            Tile(frame.photo[0].cpu(), f"{frame.at:.2f} s"),
            Tile(image, f"mean squared error {error:.4f}"),
        ]

    clips.render(
        args,
        path,
        album,
        lambda frame: model.decode(album.encode(frame.photo))[0].cpu(),
        row,
        title="Reconstruction",
        columns=["photo", "decoded"],
        returned=lambda image: album.returned(path, image, mode="replace"),
    )
