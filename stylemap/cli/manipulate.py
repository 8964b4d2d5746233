"""stylemap manipulate: change what images show by their stylemaps, along a direction or by a map."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from stylemap import edit, images
from stylemap.cli import common, masks, photos, results
from stylemap.model import Model
from stylemap.sheets import Row, Tile, contact_sheet, overlay

_DESCRIPTION = """Move stylemaps along a direction found by stylemap direction, or multiply them by a map."""
_ARRAYS = (".npy", ".npz", ".safetensors")
_Change = Callable[[Tensor, Path, Tensor | None], Tensor]


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``manipulate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "manipulate", help="move images along a direction, or multiply by a map", description=_DESCRIPTION
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--direction", metavar="FILE", help="move along it: .npz or .safetensors")
    how.add_argument(
        "--map",
        metavar="FILE",
        help="multiply by it: an image over the picture (white leaves, black silences), or an array "
        "K x L x L or 1 x L x L of any factors, .npy, .npz or .safetensors",
    )
    parser.add_argument(
        "--strength",
        type=_numbers,
        metavar="D[,D…]",
        help="how far; several make one image each, as in --strength=-10,0,10 (mind the = before a minus). "
        "With --map 1, the default, multiplies by it, 0 leaves the image, negative inverts the change",
    )
    parser.add_argument(
        "--mask", metavar="MASK", help=f"change only the stylemap cells it touches; {masks.HELP}"
    )
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    photos.add_arguments(parser)
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Change every image, once for each strength; write the results."""
    if args.strength is None:
        if args.direction is not None:
            raise ValueError("--direction needs --strength")
        args.strength = [1.0]
    paths = images.find(args.images)
    parts = _parts(args.strength)
    read = [*paths, *(Path(file) for file in (args.direction, args.map, args.mask) if file is not None)]
    output = results.Output.of(args, [path.stem for path in paths], read, own=paths, parts=parts)
    model = common.load_for_edits(args)
    album = photos.Album(args, model)
    change = _along_direction(model, args) if args.map is None else _by_map(model, args)
    reader = masks.MaskReader(model.config.size, args.fit, album=album)
    rows: list[Row] = []
    for path, name in common.progress(list(zip(paths, output.names)), "manipulate"):
        photo = album.read(path)
        mask = None if args.mask is None else reader.read(args.mask, [path])
        w = change(album.encode(photo), path, mask)
        found = [model.decode(one[None])[0].cpu() for one in w]
        for part, result in zip(parts, found):
            output.save(album.returned(path, result), name + part)
        if len(rows) < common.MAX_ROWS:
            shown = photo[0].cpu() if mask is None else overlay(photo[0], [mask])
            tiles = [
                Tile(result, f"{strength:+g}" if strength else "0")
                for strength, result in zip(args.strength, found)
            ]
            rows.append([Tile(shown, path.name), *tiles])
    title = f"Direction {Path(args.direction).stem}" if args.map is None else f"Map {Path(args.map).stem}"
    sheet = contact_sheet(rows, title=title, note="Under each result: the strength.")
    output.finish(sheet)


def _along_direction(model: Model, args: argparse.Namespace) -> _Change:
    vector = edit.load_direction(args.direction, model.config.stylemap_shape).vector
    return lambda w, path, mask: edit.manipulate(w, vector, args.strength, mask)


def _by_map(model: Model, args: argparse.Namespace) -> _Change:
    path = Path(args.map)
    if path.suffix.lower() in _ARRAYS:
        factors = edit.load_map(path, model.config.stylemap_shape)
        return lambda w, photo, mask: edit.modulate_map(w, factors, args.strength, mask)
    picture = images.open_grey(path)

    def change(w: Tensor, photo: Path, mask: Tensor | None) -> Tensor:
        square = masks.square(picture, path, model.config.size, [photo], args.fit, what="map", border=255)
        painted = (images.to_tensor(square)[0] + 1) / 2
        return edit.modulate_map(w, painted, args.strength, mask)

    return change


def _parts(strengths: list[float]) -> list[str]:
    """What follows the name in each result: its strength, numbered where two are written alike."""
    if len(strengths) == 1:
        return [""]
    return results.unique_names([f"_{strength:+g}" for strength in strengths], [""])


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers as in 5 or -10,0,10, got {text!r}") from None
