"""stylemap manipulate: change what images show by their stylemaps, along a direction or by a map."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from stylemap import checkpoint, edit, images
from stylemap.cli import clip_masks, clips, common, masks, photos, results
from stylemap.model import Model
from stylemap.sheets import Row, Tile, contact_sheet, overlay

_DESCRIPTION = """Move photos, or the frames of a video, along a direction that the package has or stylemap
direction found, or multiply their stylemaps by a map."""
_ARRAYS = (".npy", ".npz", ".safetensors")
_Change = Callable[[Tensor, Path, Tensor | None], Tensor]


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``manipulate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "manipulate", help="move images along a direction, or multiply by a map", description=_DESCRIPTION
    )
    common.add_original_argument(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--direction",
        metavar="NAME",
        help="move along it: smile, or another of the bundled model's; FILE:NAME of a file of several, as "
        "stylemap direction --faces writes it; or FILE of one, .npz or .safetensors",
    )
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
        help="how far; several make one image each, as in -1,0,1. Of a direction with a name 1, the default, "
        "is as far as examples with and without the attribute differ; of one without, it is the length. With "
        "--map 1, the default, multiplies by it, 0 leaves the image, negative inverts the change",
    )
    parser.add_argument(
        "--mask", metavar="MASK", help=f"change only the stylemap cells it touches; {masks.HELP}"
    )
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    photos.add_arguments(parser)
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Change every image, once for each strength; write the results."""
    clip = clips.one_clip(args, common.originals(args))
    if args.strength is None:
        args.strength = [1.0]
        if args.direction is not None and not _is_scaled(args.direction):
            raise ValueError(f"{args.direction} has no scale of its own: it needs --strength")
    if clip is not None:
        _run_clip(args, clip)
        return
    paths = photos.find(args, common.originals(args))
    parts = _parts(args.strength)
    read = [*paths, *_files(args)]
    output = results.Output.of(args, [path.stem for path in paths], read, own=paths, parts=parts)
    model = common.load_for_edits(args)
    change = _along_direction(model, args) if args.map is None else _by_map(model, args)
    album = photos.Album(args, model)
    reader = masks.MaskReader(model.config.size, args.fit, album=album)
    rows: list[Row] = []

    def sheet() -> Image.Image:
        return contact_sheet(rows, title=_title(args), columns=_columns(args))

    with output.keeping(sheet):
        for path, name in common.progress(list(zip(paths, output.names)), "manipulate"):
            photo = album.read(path)
            mask = None if args.mask is None else reader.read(args.mask, [path])
            w = album.encode(photo)
            moved = change(w, path, mask)
            found = [model.decode(one[None])[0].cpu() for one in moved]
            for part, result in zip(parts, found):
                output.save(album.returned(path, result), name + part)
            if len(rows) < common.MAX_ROWS:
                rows.append(_row(photo[0], model.decode(w)[0], path.name, mask, found, args))
    output.finish(sheet())


def _run_clip(args: argparse.Namespace, path: Path) -> None:
    """The same for the frames of a video, with one strength."""
    if len(args.strength) != 1:
        raise ValueError(f"a video takes one --strength, got {len(args.strength)}")
    model = common.load_for_edits(args)
    change = _along_direction(model, args) if args.map is None else _by_map(model, args)
    album = photos.Album(args, model)
    reader = masks.MaskReader(model.config.size, args.fit, album=album)
    moving = None if args.mask is None else clip_masks.open_masks(args.mask, reader, [])
    current: list[Tensor | None] = [None]

    def edited(frame: clips.Frame) -> Tensor:
        current[0] = None if moving is None else moving(frame.picture)
        return model.decode(change(album.encode(frame.photo), path, current[0]))[0].cpu()

    def row(frame: clips.Frame, image: Tensor) -> Row:
        decoded = model.decode(model.encode(frame.photo))[0]
        return _row(frame.photo[0], decoded, f"{frame.at:.2f} s", current[0], [image], args)

    title, columns, read = _title(args), _columns(args), _files(args)
    clips.render(
        args, path, album, edited, row, title=title, columns=columns, read=read,
        returned=lambda image: album.returned(path, image),
    )  # fmt: skip


def _row(
    photo: Tensor,
    decoded: Tensor,
    name: str,
    mask: Tensor | None,
    found: list[Tensor],
    args: argparse.Namespace,
) -> Row:
    """The photo with the mask over it, the same decoded, and the results."""
    shown = photo.cpu() if mask is None else overlay(photo, [mask])
    what = _what(args)
    tiles = [Tile(image, f"{what} {strength:+g}") for strength, image in zip(args.strength, found)]
    return [Tile(shown, name), Tile(decoded.cpu(), "not changed"), *tiles]


def _columns(args: argparse.Namespace) -> list[str]:
    where = "photo" if args.mask is None else "photo, mask"
    return [where, "decoded", *(f"strength {strength:+g}" for strength in args.strength)]


def _title(args: argparse.Namespace) -> str:
    return f"Direction {_what(args)}" if args.map is None else f"Map {_what(args)}"


def _what(args: argparse.Namespace) -> str:
    """What the direction or the map is called: its name, else that of its file."""
    if args.map is not None:
        return Path(args.map).stem
    text: str = args.direction
    return Path(text).stem if Path(text).exists() else text.rpartition(":")[2]


def _files(args: argparse.Namespace) -> list[Path]:
    """The files that are read beside the photos."""
    direction = args.direction and args.direction.rpartition(":")[0]
    named = (args.direction, direction, args.map, args.mask)
    return [Path(text) for text in named if text and Path(text).exists()]


def _is_scaled(text: str) -> bool:
    """Whether a direction is one of several with a name, which have steps of their own."""
    if not Path(text).exists():
        return True
    try:
        return bool(edit.load_directions(text))
    except ValueError:
        return False


def _along_direction(model: Model, args: argparse.Namespace) -> _Change:
    other = args.model not in (None, "", checkpoint.DEMO)
    if other and edit.direction_set.is_bundled(args.direction):
        raise ValueError(
            f"the direction {args.direction!r} is one of the bundled model's, and {args.model} is another: "
            f"name a file, as in FILE:{args.direction}"
        )
    one = edit.find_direction(args.direction, model.config.stylemap_shape)
    strengths = [one.step * strength for strength in args.strength]
    return lambda w, path, mask: edit.manipulate(w, one.vector, strengths, mask)


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
