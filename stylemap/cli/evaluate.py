"""stylemap evaluate: measure a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from stylemap import edit
from stylemap.cli import common


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``evaluate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "evaluate",
        help="measure a model",
        description="Measure reconstruction, realism, FID, local editing and attribute directions."
        " Metrics whose weights are not given are skipped, and say so.",
    )
    parser.add_argument(
        "--data",
        default="faces",
        help="a folder, an LMDB, or builtin:faces (held-out drawn ones; faces where no folder has that name)",
    )
    parser.add_argument("--count", type=int, default=500, help="test images (default: 500)")
    parser.add_argument("--samples", type=int, default=5000, help="images for the FIDs (default: 5000)")
    parser.add_argument("--fit", type=int, default=2000, help="faces to fit directions on (default: 2000)")
    parser.add_argument("--truncation", type=float, default=1.0, help="of the FID's samples (default: 1)")
    parser.add_argument("--space", choices=("w", "w+"), default="w+", help="of local editing (default: w+)")
    parser.add_argument("--batch", type=int, default=16, help="images at a time (default: 16)")
    parser.add_argument(
        "--masks", metavar="DIR", help="part masks of a folder's images, under the same names"
    )
    parser.add_argument("--lpips", metavar="FILE", default="", help="VGG-16 weights, torchvision's .pth")
    parser.add_argument("--lpips-heads", metavar="FILE", default="", help="linear weights of LPIPS, vgg.pth")
    parser.add_argument("--inception", metavar="FILE", default="", help="FID's Inception weights")
    parser.add_argument(
        "--directions", metavar="FILE", help="measure moves along these directions (default: fitted anew)"
    )
    parser.add_argument("--output", metavar="FILE", help="also write the results there, as JSON")
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure the model, print the table and write the JSON where --output asks for it."""
    from stylemap.data.open import DRAWN, is_drawn, open_dataset
    from stylemap.files import write_whole
    from stylemap.metrics import Evaluation, Options

    names = (
        "count",
        "samples",
        "fit",
        "truncation",
        "space",
        "batch",
        "lpips",
        "lpips_heads",
        "inception",
        "seed",
    )
    options = Options(**{name: getattr(args, name) for name in names})
    model = common.load_for_edits(args)
    dataset = open_dataset(args.data, model.config.size, count=args.count, held_out=True)
    train: Any = None
    if is_drawn(args.data):
        train = open_dataset(DRAWN, model.config.size, count=args.fit)
    masks = _masks(args, dataset, min(args.count, len(dataset))) if args.masks else None
    directions = None
    if args.directions:
        directions = edit.load_directions(args.directions, model.config.stylemap_shape)
    evaluation = Evaluation(
        model, dataset, options, train=train, masks=masks, directions=directions, progress=common.progress
    )
    report = evaluation.run()
    print(report.table())
    if args.output:
        about = {"model": args.model or "bundled", "data": args.data, "options": vars(options)}
        with write_whole(args.output) as file:
            file.write((json.dumps(about | report.to_dict(), indent=2) + "\n").encode())


def _masks(args: argparse.Namespace, dataset: Any, count: int) -> dict[str, Any]:
    from stylemap.metrics.evaluate import masks_from_folder

    paths = getattr(dataset, "paths", None)
    if paths is None:
        raise ValueError("--masks goes with a folder of images: its masks have the images' names")
    stems = [Path(path).stem for path in paths[:count]]
    return {"part": masks_from_folder(args.masks, stems, dataset.size)}
