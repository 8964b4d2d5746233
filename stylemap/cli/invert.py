"""stylemap invert: refine stylemaps until they decode to given photos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from stylemap import edit, images
from stylemap.cli import common
from stylemap.files import write_whole
from stylemap.sheets import Row, Tile, contact_sheet, curve


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``invert`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "invert",
        help="optimise stylemaps towards photos",
        description=f"{__doc__} Writes each decoded image and an .npz with its stylemap and loss curve.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("--steps", type=int, default=200, help="of Adam (default: 200)")
    parser.add_argument("--learning-rate", type=float, default=0.01, help="default: 0.01")
    parser.add_argument("--start", choices=("encoder", "mean"), default="encoder", help="default: encoder")
    parser.add_argument("--pixel-weight", type=float, default=1.0, help="default: 1")
    parser.add_argument("--perceptual-weight", type=float, default=1.0, help="default: 1")
    common.add_output_arguments(parser, "folder for the results, or a file for a single one")
    common.add_fit_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Optimise the stylemap of every photo; write the decoded image, an .npz and the contact sheet."""
    if args.steps < 0:
        raise ValueError(f"--steps must be at least 0, got {args.steps}")
    paths = images.find(args.images)
    output = common.Output.of(args, len(paths))
    model = common.load_model(args)
    rows: list[Row] = []
    for path, name in zip(paths, common.unique_names(paths)):
        photo = common.read(model, path, args)
        found, first = _invert(model, photo, args, path.name)
        result = model.decode(found.stylemap)
        output.save(result, name)
        _save_stylemap(found, output.file(name).with_suffix(".npz"))
        if len(rows) < common.MAX_ROWS:
            rows.append(_row(photo, first, result, found, path))
    sheet = contact_sheet(
        rows, title="Inversion", columns=["photo", f"start ({args.start})", "refined", "loss"]
    )
    output.finish(len(paths), sheet)


def _invert(model: Any, photo: Tensor, args: argparse.Namespace, label: str) -> tuple[edit.Inversion, Tensor]:
    """The inversion, and the image it started from."""
    w = model.encode(photo) if args.start == "encoder" else model.mean_stylemap()
    bar = common.progress(range(args.steps + 1), label)

    def advance(step: int, loss: float) -> None:
        next(bar, None)

    found = edit.invert(
        model,
        photo,
        steps=args.steps,
        learning_rate=args.learning_rate,
        start=w,
        pixel_weight=args.pixel_weight,
        perceptual_weight=args.perceptual_weight,
        progress=advance,
    )
    next(bar, None)  # past the last item: the generator finishes its line
    return found, model.decode(w)


def _save_stylemap(found: edit.Inversion, path: Path) -> None:
    with write_whole(path) as file:
        np.savez(file, stylemap=found.stylemap.float().cpu().numpy(), losses=found.losses.numpy())


def _row(photo: Tensor, first: Tensor, result: Tensor, found: edit.Inversion, path: Path) -> Row:
    losses = found.losses[:, 0].tolist()
    plot: Image.Image = curve(losses, max(256, photo.shape[-1]))
    shown = [image[0].cpu() for image in (photo, first, result)]
    captions = [path.name, f"loss {losses[0]:.4g}", f"loss {min(losses):.4g}"]
    return [*(Tile(image, caption) for image, caption in zip(shown, captions)), Tile(plot)]
