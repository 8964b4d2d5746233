"""stylemap edit: put a part of one photo into another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from stylemap import edit, ops
from stylemap.cli import clip_masks, clips, common, masks, photos, results
from stylemap.cli.limits import MOST
from stylemap.model import Model
from stylemap.photo import Photo
from stylemap.sheets import PALETTE, Row, Tile, contact_sheet, overlay

if TYPE_CHECKING:
    from stylemap.engine.session import EditSession

_DESCRIPTION = """Edit photos and videos locally. Each --reference goes with one --mask (and one --union and
one --shift, where given), in the order written; a single --mask serves every reference. With a video, or a
folder of originals, a --mask that is a folder holds one mask per frame; with a video it may be one too."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``edit`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "edit", help="put parts of references into photos", description=_DESCRIPTION
    )
    parser.add_argument(
        "--original", required=True, metavar="PATH", help="image file, folder of them, or video"
    )
    parser.add_argument(
        "--reference", required=True, action="append", metavar="FILE", help="where the part is from"
    )
    parser.add_argument("--mask", required=True, action="append", metavar="MASK", help=masks.HELP)
    parser.add_argument(
        "--union",
        action="append",
        default=[],
        metavar="MASK",
        help="a second mask, added to the --mask of its place",
    )
    parser.add_argument(
        "--shift",
        action="append",
        default=[],
        type=_shift,
        metavar="DX,DY",
        help="move the part right and down, in pixels of the model's image, as in -8,4",
    )
    parser.add_argument(
        "--mode",
        choices=("blend", "w+", "w"),
        default="blend",
        help="blend: stylecodes, any number of references, shifts, weights (default); w+ and w: one "
        "reference, mixed in the stylecodes or in the stylemap, in every cell the mask touches",
    )
    parser.add_argument(
        "--weight", type=float, default=1.0, help="0 original, 1 full edit (blend; default: 1)"
    )
    parser.add_argument("--frames", type=int, default=1, help="a strip of weights from 0 to --weight (blend)")
    results.add_arguments(parser, "file for the result, or a folder for several")
    photos.add_arguments(parser, references=True)
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


@dataclass(frozen=True)
class _Layer:
    """One reference: its photo 1 x 3 x S x S, mask files or shapes per frame, and shift.

    ``source``: its stylemap, or with a session its handle.
    """

    path: Path
    photo: Tensor
    source: Any
    mask_texts: list[list[str]]
    shift: tuple[int, int]

    def mask(self, frame: int, original: Path, reader: masks.MaskReader) -> Tensor:
        return reader.union(self.mask_texts[frame % len(self.mask_texts)], [self.path, original])


def run(args: argparse.Namespace) -> None:
    """Edit every original and write the results and the contact sheet."""
    _check(args)
    clip = clips.one_clip(args, [args.original])
    if clip is not None:
        _run_clip(args, clip)
        return
    originals = photos.find(args, [args.original])
    references = common.find(args.reference)
    mask_texts = _masks_per_frame(args, len(references), len(originals))
    output = _output(args, originals, references, mask_texts)
    model = common.load_for_edits(args, sessions=args.mode == "blend")
    session = common.session_of(model) if args.mode == "blend" else None
    album = photos.Album(args, model, session)
    layers = _layers(args, album, references, mask_texts)
    reader = _mask_reader(args, model, album)
    rows: list[Row] = []

    def sheet() -> Image.Image | None:
        return _sheet(rows, args) if rows else None

    shown = set(common.shown_of(args.frames))
    steps = common.progress(range(output.count), "edit")
    with output.keeping(sheet):
        for frame, original in enumerate(originals):
            photo = album.read(original)
            frame_masks = [layer.mask(frame, original, reader) for layer in layers]
            source = album.encode(photo)
            asked = _asked(layers, frame_masks, model.config.latent_spatial_size, args.mode)
            tiles = []
            for index, image in enumerate(_images(model, session, source, layers, frame_masks, args)):
                pasted = album.returned(original, image, mask=asked)
                output.save(pasted, output.names[frame] + output.parts[index])
                next(steps)
                if index in shown and len(rows) < common.MAX_ROWS:
                    tiles.append(Tile(common.thumbnail(image), _from_whom(original.name, layers)))
            if output.sheet_wanted and len(rows) < common.MAX_ROWS:
                rows.append(
                    [*_row(photo[0], album.decoded(source), original.name, layers, frame_masks), *tiles]
                )
            if session is not None:
                session.remove(source)
    next(steps, None)  # past the last: it finishes its line
    output.finish(sheet())


def _run_clip(args: argparse.Namespace, path: Path) -> None:
    """The same for the frames of a video, in one session."""
    if args.frames > 1:
        raise ValueError("--frames is of photos: a video has frames of its own")
    references = common.find(args.reference)
    texts = [[args.mask[i % len(args.mask)], *args.union[i : i + 1]] for i in range(len(references))]
    read = [*references, *(Path(text) for many in texts for text in many)]
    model = common.load_for_edits(args, sessions=args.mode == "blend")
    session = common.session_of(model) if args.mode == "blend" else None
    album = photos.Album(args, model, session)
    layers = _layers(args, album, references, [[] for _ in references])
    reader = _mask_reader(args, model, album)
    moving = [
        [clip_masks.open_masks(text, reader, [reference]) for text in many]
        for reference, many in zip(references, texts)
    ]
    current: list[Tensor] = []

    def edited(frame: clips.Frame) -> Tensor:
        current[:] = [edit.union([one(frame.picture) for one in many]) for many in moving]
        source = album.encode(frame.photo)
        (image,) = _images(model, session, source, layers, current, args)
        if session is not None:
            session.remove(source)
        return image

    def row(frame: clips.Frame, image: Tensor) -> Row:
        decoded = model.decode(model.encode(frame.photo))[0].cpu()
        name = f"{frame.at:.2f} s of {path.name}"
        tiles = _row(frame.photo[0], decoded, name, layers, current)
        return [*tiles, Tile(common.thumbnail(image), _from_whom(path.name, layers))]

    def returned(image: Tensor) -> Tensor | Photo:
        asked = _asked(layers, current, model.config.latent_spatial_size, args.mode)
        return album.returned(path, image, mask=asked)

    columns = [*_columns(args), "result"]
    clips.render(args, path, album, edited, row, title="Edit", columns=columns, returned=returned, read=read)


def _layers(
    args: argparse.Namespace, album: photos.Album, references: list[Path], mask_texts: list[list[list[str]]]
) -> list[_Layer]:
    found = []
    shifts = args.shift or [(0, 0)] * len(references)
    for index, (path, texts, shift) in enumerate(zip(references, mask_texts, shifts)):
        photo = album.read_reference(path, index)
        found.append(_Layer(path, photo, album.encode(photo), texts, shift))
    return found


def _mask_reader(args: argparse.Namespace, model: Model, album: photos.Album) -> masks.MaskReader:
    cells = model.config.latent_spatial_size if args.mode == "blend" else None
    return masks.MaskReader(model.config.size, args.fit, cells, album)


def _output(
    args: argparse.Namespace, originals: list[Path], references: list[Path], mask_texts: list[list[list[str]]]
) -> results.Output:
    files = [Path(text) for frames in mask_texts for texts in frames for text in texts]
    parts = results.frame_parts(args.frames) if args.frames > 1 else [""]
    stems = [original.stem for original in originals]
    return results.Output.of(args, stems, [*originals, *references, *files], own=originals, parts=parts)


def _images(
    model: Model,
    session: EditSession | None,
    original: Any,
    layers: list[_Layer],
    frame_masks: list[Tensor],
    args: argparse.Namespace,
) -> Iterator[Tensor]:
    """The edits 3 x S x S of one original, one per weight, each made when it is asked for."""
    if session is not None:
        pairs = zip(layers, frame_masks, strict=True)
        references = [session.reference(layer.source, mask, layer.shift) for layer, mask in pairs]
        for weight in _weights(args):
            yield session.edit(original, references, weight).cpu()
    else:
        yield edit.local(model, original, layers[0].source, frame_masks[0], space=args.mode)[0].cpu()


def _weights(args: argparse.Namespace) -> list[float]:
    return [args.weight * weight for weight in edit.frame_weights(args.frames)]


def _from_whom(name: str, layers: list[_Layer]) -> str:
    return f"{name}, inside the mask {', '.join(layer.path.name for layer in layers)}"


def _row(
    photo: Tensor, decoded: Tensor, name: str, layers: list[_Layer], frame_masks: list[Tensor]
) -> list[Tile]:
    """Original, the same decoded, references with their masks, where the masks come to lie."""
    photo = photo.cpu()
    row = [Tile(photo, name), Tile(decoded, f"{name}, not edited")]
    for index, (layer, mask) in enumerate(zip(layers, frame_masks)):
        colours = [PALETTE[index % len(PALETTE)]]
        row.append(Tile(overlay(layer.photo[0].cpu(), [mask], colours), f"from {layer.path.name}"))
    return [*row, Tile(overlay(photo, _moved(layers, frame_masks)), f"goes into {name}")]


def _moved(layers: list[_Layer], frame_masks: list[Tensor]) -> list[Tensor]:
    """The masks where their parts come to lie, S x S each."""
    found = []
    for layer, mask in zip(layers, frame_masks):
        plane = mask[None, None].float()
        found.append(ops.blend(torch.zeros_like(plane), plane, mask, shift=layer.shift)[0, 0])
    return found


def _asked(layers: list[_Layer], frame_masks: list[Tensor], cells: int, mode: str) -> Tensor:
    """Where an edit may change the original, S x S: its masks, or all of the cells that they touch."""
    mask = edit.union(_moved(layers, frame_masks))
    if mode == "blend":
        return mask
    factor = mask.shape[-1] // cells
    touched = edit.masks.pool_max(mask[None, None].float(), cells)[0, 0]
    return touched.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def _sheet(rows: list[Row], args: argparse.Namespace) -> Image.Image:
    weights = [f"weight {_weights(args)[index]:.2f}" for index in common.shown_of(args.frames)]
    columns = [*_columns(args), *(weights if args.frames > 1 else ["result"])]
    blend = f"Interactive blend in W+, weight {args.weight:g}."
    kind = {"blend": blend, "w+": "Local edit in W+.", "w": "Local edit in W."}[args.mode]
    return contact_sheet(rows, title="Edit", note=kind, columns=columns)


def _columns(args: argparse.Namespace) -> list[str]:
    many = len(args.reference) > 1
    names = [f"reference {i + 1}" if many else "reference" for i in range(len(args.reference))]
    return ["original", "decoded", *names, "mask"]


def _check(args: argparse.Namespace) -> None:
    """Counts and combinations that need no file to be seen as wrong."""
    count = len(args.reference)
    if len(args.mask) not in (1, count):
        raise ValueError(f"{count} --reference but {len(args.mask)} --mask: give one each, or one for all")
    for name in ("union", "shift"):
        given = len(getattr(args, name))
        if given not in (0, count):
            raise ValueError(f"{count} --reference but {given} --{name}: give one each, or none")
    common.check_counts(args, 1, "frames")
    if args.mode != "blend" and (count > 1 or args.shift or args.frames > 1 or args.weight != 1):
        raise ValueError(f"--mode {args.mode} takes one reference, without --shift, --weight and --frames")


def _masks_per_frame(args: argparse.Namespace, references: int, frames: int) -> list[list[list[str]]]:
    """For each reference, for each frame (or once for all): the masks to unite."""
    result = []
    for index in range(references):
        parts = [_moving(args.mask[index % len(args.mask)], frames)]
        parts += [_moving(args.union[index], frames)] if args.union else []
        count = max(len(part) for part in parts)
        result.append([[part[frame % len(part)] for part in parts] for frame in range(count)])
    return result


def _moving(text: str, frames: int) -> list[str]:
    if not Path(text).is_dir():
        return [text]
    files = [str(path) for path in common.find([text])]
    if len(files) != frames:
        raise ValueError(f"{text} holds {len(files)} masks for {frames} originals: one for each is needed")
    return files


def _shift(text: str) -> tuple[int, int]:
    try:
        dx, dy = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two whole numbers DX,DY, got {text!r}") from None
    if max(abs(dx), abs(dy)) > MOST:
        raise argparse.ArgumentTypeError(f"expected DX,DY from -{MOST} to {MOST}, got {text!r}")
    return dx, dy
