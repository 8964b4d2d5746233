"""stylemap data: make and pack images to train on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stylemap.cli import common, said
from stylemap.files import only_writer


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``data`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "data", help="make training data", description=__doc__
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    _add_faces(kinds)
    _add_lmdb(kinds)
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the part of the command that KIND names."""
    {"faces": _run_faces, "lmdb": _run_lmdb}[args.kind](args)


def _add_faces(kinds: Any) -> None:
    parser = kinds.add_parser("faces", help="draw portraits with part masks and labels")
    parser.add_argument("--size", type=int, default=128, help="side in pixels (default: 128)")
    parser.add_argument("--count", type=int, default=64, help="how many (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="which series of faces (default: 0)")
    parser.add_argument("--held-out", action="store_true", help="faces that no training run sees")
    parser.add_argument("--no-masks", action="store_true", help="write no part masks")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder for *.png, masks/, labels.csv and sheet/"
    )


def _run_faces(args: argparse.Namespace) -> None:
    from stylemap.data.faces import FacesDataset
    from stylemap.data.faces.export import write_faces

    if args.count < 1:
        raise ValueError(f"--count must be at least 1, got {args.count}")
    dataset = FacesDataset(args.size, args.count, args.seed, held_out=args.held_out)
    with only_writer(args.output):
        sheet = write_faces(
            dataset,
            Path(args.output),
            masks=not args.no_masks,
            progress=lambda rows: common.progress(rows, "faces"),
        )
    said.note(output=args.output, count=args.count, sheet=sheet)
    said.say(f"wrote {args.count} faces in {args.output}, contact sheet {sheet}")


def _add_lmdb(kinds: Any) -> None:
    parser = kinds.add_parser(
        "lmdb",
        help="pack images into an LMDB",
        description="Pack images into an LMDB. Repeat an interrupted command to go on.",
    )
    parser.add_argument(
        "input", help="folder of images, or builtin:faces (faces where no folder has that name)"
    )
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help="the LMDB to write")
    parser.add_argument("--sizes", default="256", help="sides in pixels, separated by commas (default: 256)")
    parser.add_argument(
        "--format", choices=("png", "jpg"), default="png", help="default: png, which loses nothing"
    )
    parser.add_argument("--quality", type=int, default=95, help="of jpg (default: 95)")
    parser.add_argument("--recursive", action="store_true", help="also the images of sub-folders")
    common.add_skip_argument(parser)
    parser.add_argument("--workers", type=int, default=2, help="threads that decode and encode (default: 2)")
    parser.add_argument("--count", type=int, default=20000, help="of faces (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of faces (default: 0)")
    common.add_fit_argument(parser)


def _run_lmdb(args: argparse.Namespace) -> None:
    from stylemap.data import folder, lmdb_writer
    from stylemap.data.open import is_drawn

    sizes = _sizes(args.sizes)
    for name, low, high in (("quality", 1, 100), ("workers", 1, 256), ("count", 1, 10**9)):
        if not low <= getattr(args, name) <= high:
            raise ValueError(f"--{name} must be from {low} to {high}, got {getattr(args, name)}")
    options = {
        "format": args.format,
        "quality": args.quality,
        "workers": args.workers,
        "progress": lambda rows: common.progress(rows, "lmdb"),
    }
    if is_drawn(args.input):
        state = lmdb_writer.write_faces(args.output, args.count, args.seed, sizes, **options)
    else:
        paths = folder.find(args.input, recursive=args.recursive)
        state = lmdb_writer.write_folder(
            args.output, paths, sizes, fit=args.fit, skip_corrupt=args.skip_corrupt, **options
        )
    for name, reason in state.skipped:
        said.say(f"skipped {name}: {reason}")
    skipped = [{"file": name, "reason": reason} for name, reason in state.skipped]
    said.note(output=args.output, written=state.written, skipped=skipped)
    left_out = f", {len(state.skipped)} skipped" if state.skipped else ""
    said.say(f"wrote {state.written} images of size {args.sizes} to {args.output}{left_out}")


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        raise ValueError(f"--sizes takes numbers separated by commas, got {text!r}") from None
