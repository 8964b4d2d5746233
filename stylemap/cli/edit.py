"""stylemap edit: put a part of one photo into another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stylemap import edit, images, ops
from stylemap.cli import common, masks, photos, results
from stylemap.model import Model
from stylemap.sheets import PALETTE, Row, Tile, contact_sheet, overlay

if TYPE_CHECKING:
    from stylemap.engine.session import EditSession

_DESCRIPTION = """Edit photos locally. Each --reference goes with one --mask (and one --union and one --shift,
where given), in the order written; a single --mask serves every reference. With a folder of originals (the
frames of a clip) a --mask that is a folder too holds one mask per frame."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``edit`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "edit", help="put parts of references into photos", description=_DESCRIPTION
    )
    parser.add_argument("--original", required=True, metavar="PATH", help="image file, or folder of them")
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
        help="move the part right and down, in pixels of the model's image; mind the = in --shift=-8,4",
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
    originals = images.find([args.original])
    references = images.find(args.reference)
    mask_texts = _masks_per_frame(args, len(references), len(originals))
    output = _output(args, originals, references, mask_texts)
    model = common.load_for_edits(args)
    session = common.session_of(model) if args.mode == "blend" else None
    album = photos.Album(args, model, session)
    shifts = args.shift or [(0, 0)] * len(references)
    layers = []
    for index, (path, texts, shift) in enumerate(zip(references, mask_texts, shifts)):
        photo = album.read_reference(path, index)
        layers.append(_Layer(path, photo, album.encode(photo), texts, shift))
    cells = model.config.latent_spatial_size if args.mode == "blend" else None
    reader = masks.MaskReader(model.config.size, args.fit, cells, album)
    rows: list[Row] = []
    shown = set(common.shown_of(args.frames))
    steps = common.progress(range(output.count), "edit")
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
                tiles.append(Tile(common.thumbnail(image)))
        if session is not None:
            session.remove(source)
        if len(rows) < common.MAX_ROWS:
            rows.append([*_row(photo[0], original, layers, frame_masks), *tiles])
    next(steps, None)  # past the last: it finishes its line
    output.finish(_sheet(rows, args))


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


def _row(photo: Tensor, path: Path, layers: list[_Layer], frame_masks: list[Tensor]) -> list[Tile]:
    """Source, references with their masks, where the masks come to lie."""
    photo = photo.cpu()
    row = [Tile(photo, path.name)]
    for index, (layer, mask) in enumerate(zip(layers, frame_masks)):
        colours = [PALETTE[index % len(PALETTE)]]
        row.append(Tile(overlay(layer.photo[0].cpu(), [mask], colours), layer.path.name))
    return [*row, Tile(overlay(photo, _moved(layers, frame_masks)), "edited part")]


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


def _sheet(rows: list[Row], args: argparse.Namespace) -> Any:
    many = len(args.reference) > 1
    names = [f"reference {i + 1}" if many else "reference" for i in range(len(args.reference))]
    weights = [f"weight {_weights(args)[index]:.2f}" for index in common.shown_of(args.frames)]
    columns = ["original", *names, "mask", *(weights if args.frames > 1 else ["result"])]
    blend = f"Interactive blend in W+, weight {args.weight:g}."
    kind = {"blend": blend, "w+": "Local edit in W+.", "w": "Local edit in W."}[args.mode]
    return contact_sheet(rows, title="Edit", note=kind, columns=columns)


def _check(args: argparse.Namespace) -> None:
    """Counts and combinations that need no file to be seen as wrong."""
    count = len(args.reference)
    if len(args.mask) not in (1, count):
        raise ValueError(f"{count} --reference but {len(args.mask)} --mask: give one each, or one for all")
    for name in ("union", "shift"):
        given = len(getattr(args, name))
        if given not in (0, count):
            raise ValueError(f"{count} --reference but {given} --{name}: give one each, or none")
    if args.frames < 1:
        raise ValueError(f"--frames must be at least 1, got {args.frames}")
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
    files = [str(path) for path in images.find([text])]
    if len(files) != frames:
        raise ValueError(f"{text} holds {len(files)} masks for {frames} originals: one for each is needed")
    return files


def _shift(text: str) -> tuple[int, int]:
    try:
        dx, dy = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two whole numbers DX,DY, got {text!r}") from None
    return dx, dy
