"""stylemap edit: put a part of one photo into another."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stylemap import edit, images, ops
from stylemap.cli import common, masks
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
    common.add_output_arguments(parser, "file for the result, or a folder for several")
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
    masks: list[list[str]]
    shift: tuple[int, int]

    def mask(self, frame: int, original: Path, size: int, fit: images.Fit) -> Tensor:
        texts = self.masks[frame % len(self.masks)]
        return masks.read_union(texts, size, [self.path, original], fit)


def run(args: argparse.Namespace) -> None:
    """Edit every original and write the results and the contact sheet."""
    _check(args)
    originals = images.find([args.original])
    references = images.find(args.reference)
    mask_texts = _masks_per_frame(args, len(references), len(originals))
    output = common.Output.of(args, len(originals) * args.frames)
    model = common.load_for_edits(args)
    session = common.session_of(model) if args.mode == "blend" else None
    encode: Callable[[Tensor], Any] = model.encode if session is None else session.add
    shifts = args.shift or [(0, 0)] * len(references)
    layers = []
    for path, texts, shift in zip(references, mask_texts, shifts):
        photo = common.read(model, path, args)
        layers.append(_Layer(path, photo, encode(photo), texts, shift))
    rows: list[Row] = []
    names = common.unique_names(originals)
    for frame, original in enumerate(common.progress(originals, "edit")):
        photo = common.read(model, original, args)
        frame_masks = [layer.mask(frame, original, model.config.size, args.fit) for layer in layers]
        source = encode(photo)
        if session is None:
            results = _local(model, source, layers, frame_masks, args)
        else:
            results = _blend(session, source, layers, frame_masks, args)
            session.remove(source)
        for index, result in enumerate(results):
            output.save(result, names[frame] if len(results) == 1 else f"{names[frame]}_{index:03d}")
        if len(rows) < common.MAX_ROWS:
            rows.append(_row(photo[0], original, layers, frame_masks, results))
    output.finish(len(originals) * args.frames, _sheet(rows, args))


def _blend(
    session: EditSession, original: Any, layers: list[_Layer], masks: list[Tensor], args: argparse.Namespace
) -> list[Tensor]:
    """The blends 3 x S x S of one original, one per weight."""
    pairs = zip(layers, masks, strict=True)
    references = [session.reference(layer.source, mask, layer.shift) for layer, mask in pairs]
    return list(session.frames(original, references, _weights(args)).cpu())


def _local(
    model: Model, w: Tensor, layers: list[_Layer], frame_masks: list[Tensor], args: argparse.Namespace
) -> list[Tensor]:
    """Local editing in W or W+."""
    return [edit.local(model, w, layers[0].source, frame_masks[0], space=args.mode)[0].cpu()]


def _weights(args: argparse.Namespace) -> list[float]:
    return [args.weight * weight for weight in edit.frame_weights(args.frames)]


def _row(
    photo: Tensor, path: Path, layers: list[_Layer], frame_masks: list[Tensor], results: list[Tensor]
) -> Row:
    """Source, references with their masks, where the masks come to lie, results."""
    photo = photo.cpu()
    row = [Tile(photo, path.name)]
    moved = []
    for index, (layer, mask) in enumerate(zip(layers, frame_masks)):
        colours = [PALETTE[index % len(PALETTE)]]
        row.append(Tile(overlay(layer.photo[0].cpu(), [mask], colours), layer.path.name))
        plane = mask[None, None].float()
        moved.append(ops.blend(torch.zeros_like(plane), plane, mask, shift=layer.shift)[0, 0])
    row.append(Tile(overlay(photo, moved), "edited part"))
    return [*row, *(Tile(result) for result in results)]


def _sheet(rows: list[Row], args: argparse.Namespace) -> Any:
    many = len(args.reference) > 1
    names = [f"reference {i + 1}" if many else "reference" for i in range(len(args.reference))]
    weights = [f"weight {args.weight * weight:.2f}" for weight in edit.frame_weights(args.frames)]
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
