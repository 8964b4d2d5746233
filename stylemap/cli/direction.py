"""stylemap direction: fit the direction of an attribute with a linear SVM."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap import edit
from stylemap.cli import common, results, said
from stylemap.files import check_file, check_target, read_text
from stylemap.metrics.directions import ATTRIBUTES, fit_directions

_YES = {"1", "1.0", "true", "yes"}
_NO = {"0", "0.0", "-1", "-1.0", "false", "no"}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``direction`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "direction", help="fit the direction of an attribute", description=__doc__
    )
    folders = parser.add_argument_group("examples from two folders")
    folders.add_argument("--positive", metavar="DIR", help="images with the attribute")
    folders.add_argument("--negative", metavar="DIR", help="images without it")
    labels = parser.add_argument_group("examples from a label file")
    labels.add_argument(
        "--labels",
        metavar="CSV",
        help="first column: image file; others: attributes, 1/true/yes or 0/-1/false/no; empty leaves it out",
    )
    labels.add_argument("--attribute", help="the column to use")
    labels.add_argument(
        "--images", metavar="DIR", help="where the files are (default: beside the label file)"
    )
    faces = parser.add_argument_group("several directions from generated faces, for a model trained on them")
    faces.add_argument(
        "--faces",
        metavar="NAMES",
        help=f"'all', or some of: {', '.join(ATTRIBUTES)}; all go into one .safetensors",
    )
    faces.add_argument(
        "--count", type=int, default=500, help="pairs of faces for each attribute (default: 500)"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.2, help="share kept for the accuracy (default: 0.2)"
    )
    parser.add_argument("--cost", type=float, default=1.0, help="C of the SVM (default: 1)")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=".npz or .safetensors")
    results.add_overwrite(parser)
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Encode the examples, fit the direction, write it and print its accuracy."""
    common.check_counts(args, 2, "count")
    if args.cost <= 0:
        raise ValueError(f"--cost must be above 0, got {args.cost:g}")
    check_target(args.output)
    read = [Path(name) for name in (args.model, args.labels) if name]
    if not args.overwrite:
        results.refuse_inputs([Path(args.output)], read)
    if args.faces is not None:
        return _from_faces(args)
    if Path(args.output).suffix not in (".npz", ".safetensors"):
        raise ValueError(f"--output must end in .npz or .safetensors, got {args.output!r}")
    positive, negative = _examples(args)
    if min(len(positive), len(negative)) < 2:
        raise ValueError(
            f"each kind needs two examples, got {len(positive)} with and {len(negative)} without"
        )
    edit.direction.require_svm()
    model = common.load_for_edits(args)
    direction = edit.fit_direction(
        common.encode_all(model, positive, args, "with"),
        common.encode_all(model, negative, args, "without"),
        held_out=args.held_out,
        cost=args.cost,
        seed=args.seed,
    )
    edit.save_direction(direction, args.output)
    held_out = direction.facts["held_out"]
    said.note(output=args.output, accuracy=direction.accuracy, **direction.facts)
    told = f"accuracy {direction.accuracy:.1%} on {held_out} held-out images" if held_out else "none held out"
    said.say(f"wrote {args.output}: {len(positive)} images with, {len(negative)} without; {told}")


def _from_faces(args: argparse.Namespace) -> None:
    if args.positive or args.negative or args.labels:
        raise ValueError("--faces draws its own examples: leave out --positive, --negative and --labels")
    names = tuple(ATTRIBUTES) if args.faces == "all" else tuple(n.strip() for n in args.faces.split(","))
    model = common.load_for_edits(args)

    @torch.no_grad()
    def encode(faces: Tensor) -> Tensor:
        return model.encode(common.to_model(model, faces.float() / 127.5 - 1))

    found = fit_directions(encode, model.config.size, args.count, names, progress=common.progress)
    edit.save_directions(found, args.output)
    about = {name: {"accuracy": one.accuracy, "step": one.step} for name, one in found.items()}
    said.note(output=args.output, directions=about)
    for name, one in found.items():
        said.say(f"{name}: {one.accuracy:.1%} of the held-out pairs told apart, one step is {one.step:.3g}")
    said.say(f"wrote {args.output}")


def _examples(args: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    if args.labels is not None:
        if args.attribute is None or args.positive or args.negative:
            raise ValueError("--labels goes with --attribute, and without --positive and --negative")
        return _from_labels(Path(args.labels), args.attribute, args.images)
    if not args.positive or not args.negative:
        raise ValueError("name --positive and --negative folders, or --labels and --attribute")
    return common.find_readable(args, [args.positive]), common.find_readable(args, [args.negative])


def _from_labels(path: Path, attribute: str, folder: str | None) -> tuple[list[Path], list[Path]]:
    root = path.parent if folder is None else Path(folder)
    found: dict[bool, list[Path]] = {True: [], False: []}
    try:
        check_file(path)
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        names = list(reader.fieldnames or [])
        if attribute not in names[1:]:
            raise ValueError(f"{path} has no column {attribute!r}, but {', '.join(names[1:]) or 'none'}")
        for row in reader:
            value = (row[attribute] or "").strip().lower()
            if value not in _YES | _NO | {""}:
                raise ValueError(f"{path}, line {reader.line_num}: {value!r} is neither yes nor no")
            if value:
                found[value in _YES].append(root / row[names[0]])
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file: {error}") from error
    return found[True], found[False]
