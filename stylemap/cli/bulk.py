"""stylemap bulk: encode or edit any number of images, on one machine or on Ray, and go on after a stop."""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stylemap
from stylemap import assets, bulk, checkpoint, edit, images
from stylemap.bulk import cluster, stylemaps
from stylemap.bulk.store import Chunk, Store
from stylemap.cli import common, limits, masks, said
from stylemap.data.blobs import is_url
from stylemap.model import Model
from stylemap.optional import how_to_install
from stylemap.photo import CONVENTIONS, MODES, faces
from stylemap.photo import crop as crops
from stylemap.photo.models import known

_INPUT = """folder, glob, image, LMDB, tar file, or a table of jobs (.csv, .jsonl, .parquet; columns:
original, and any of name and the parameters); a path or a URL"""
_HELP = {
    "encode": "photos to stylemaps",
    "reconstruct": "encode photos and decode them again",
    "edit": "put parts of references into photos",
    "manipulate": "move photos along a direction",
    "mix": "mix the stylecodes of photos and references",
}
_FLAGS: dict[str, dict[str, Any]] = {
    "reference": {"metavar": "FILE", "help": "of every row that names none"},
    "mask": {"metavar": "MASK", "help": f"likewise; {masks.HELP}"},
    "shift": {"metavar": "DX,DY", "help": "move the part right and down, in pixels of the model's image"},
    "weight": {"type": float, "help": "0 original, 1 full edit (default: 1)"},
    "direction": {"metavar": "NAME", "help": "a bundled one, FILE:NAME, or FILE, as in stylemap manipulate"},
    "strength": {"type": float, "help": "how far (default: 1, of a direction with a name)"},
    "take": {"metavar": "WHAT", "help": "coarse (default), fine, or indices of codes, as in stylemap mix"},
}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``bulk`` and its operations; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bulk", help="work on any number of images, and go on after a stop", description=__doc__
    )
    kinds = parser.add_subparsers(dest="operation", metavar="OPERATION", required=True)
    for name, options in bulk.OPERATIONS.items():
        one = kinds.add_parser(name, help=_HELP[name])
        one.add_argument("input", metavar="INPUT", help=_INPUT)
        for option in options:
            one.add_argument(f"--{option}", **_FLAGS[option])
        _add_output(one, name)
        _add_workers(one)
        _add_crops(one, name)
        common.add_fit_argument(one)
        common.add_model_arguments(one)
    return parser


def _add_output(parser: argparse.ArgumentParser, operation: str) -> None:
    parser.add_argument("--recursive", action="store_true", help="the images of sub-folders as well")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="a new folder, or that of a run to go on with; a path, or a URL that fsspec opens (s3://…)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="of an output with a URL: the folder of this machine where chunks are made "
        "(default: one of the user's cache for each URL)",
    )
    if operation == "encode":
        parser.add_argument(
            "--format",
            choices=[kind[1:] for kind in stylemaps.KINDS],
            default="parquet",
            help="of the files of stylemaps (default: parquet)",
        )
    else:
        parser.add_argument(
            "--format", choices=["png", "jpg", "webp"], default="png", help="of the images (default: png)"
        )
        parser.add_argument(
            "--shards", action="store_true", help="images into a tar file per chunk, as WebDataset has them"
        )
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first row that fails")
    parser.add_argument("--retry-failed", action="store_true", help="do rows that failed again")


def _add_crops(parser: argparse.ArgumentParser, operation: str) -> None:
    group = parser.add_argument_group("crops", "Of all photos.")
    how = group.add_mutually_exclusive_group()
    how.add_argument(
        "--align",
        action="store_true",
        help="the face, upright and as large as in the model's training; a photo without one is a row that "
        "failed. Needs the extra stylemap[align]",
    )
    how.add_argument(
        "--crop", default="", metavar="CX,CY,SIDE[,ANGLE]", help="this square, as in stylemap edit"
    )
    group.add_argument(
        "--alignment",
        choices=["auto", *CONVENTIONS],
        default="auto",
        help="how faces lie in the model's images (default: as the model notes, else ffhq)",
    )
    if operation != "encode":
        group.add_argument(
            "--paste",
            choices=(*MODES, "square"),
            default="square",
            help="difference: whole photos, to which is added what changed; replace: whole photos that show "
            "the model's pixels; square: the model's squares (default)",
        )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("workers")
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster; auto: this machine's, or a new one; local: a new one. Without it the "
        "work is done in this process, with the same results",
    )
    group.add_argument("--workers", type=int, metavar="N", help="on Ray (default: one per GPU or --threads)")
    group.add_argument("--threads", type=int, metavar="N", help="of a worker on a CPU (on Ray: 4, or all)")
    group.add_argument("--chunk", type=int, default=256, help="rows of one task and file (default: 256)")
    group.add_argument("--batch", type=int, default=8, help="rows computed together (default: 8)")


def run(args: argparse.Namespace) -> None:
    """Do what is missing of a run."""
    _check(args)
    settings = _settings(args)
    options = {name: getattr(args, name) for name in bulk.OPERATIONS[args.operation]}
    jobs = bulk.list_jobs(args.input, args.operation, options, recursive=args.recursive, size=_size(args))
    with Store(settings.output, settings.kind).locked():
        whole = bulk.Run(settings, jobs, retry_failed=args.retry_failed)
        for _ in common.progress(_work(args, whole), f"bulk {args.operation}", len(whole.todo)):
            pass
        count, failed = whole.finish()
    manifest: Path | str = whole.store.manifest_path
    where = settings.publish or settings.output
    if settings.publish:
        manifest = f"{settings.publish}/{whole.store.manifest_path.name}"
    said.note(output=where, manifest=manifest, rows=count, failed=failed)
    if failed == count:
        raise ValueError(f"none of {count} rows has a result: see {manifest}; --retry-failed does them again")
    if failed:
        said.warn(f"{failed} of {count} rows failed: see {manifest}; --retry-failed does them again")
    said.say(f"wrote {count - failed} of {count} results in {where}, manifest {manifest}")


def _check(args: argparse.Namespace) -> None:
    if args.crop:
        crops.parse(args.crop, (1000, 1000))
    common.check_counts(args, 1, "workers", "chunk", "batch")
    common.check_counts(args, 1, "threads", most=limits.MOST_THREADS)
    if args.workers is not None and args.ray is None:
        raise ValueError("--workers is of Ray: say --ray auto as well")
    if args.operation == "encode" and args.format == "parquet":
        from stylemap.bulk.tables import import_pyarrow

        import_pyarrow()


def _work(args: argparse.Namespace, whole: bulk.Run) -> Iterator[Chunk]:
    if args.ray is None:
        return whole.here()
    try:
        cluster.import_ray()
    except ImportError as error:
        if args.ray != "auto":
            raise
        said.warn(f"the work is done in this process: {error}")
        return whole.here()
    gpus = None if args.device == "auto" else args.device.startswith("cuda")
    return cluster.on_ray(whole, args.ray, args.workers, gpus)


def _settings(args: argparse.Namespace) -> bulk.Settings:
    model = _model_path(args)
    identity = {
        "stylemap": stylemap.__version__,
        "model": bulk.digest(model),
        "class": args.class_name,
        "precision": args.precision,
        "device": args.device,
    }
    publish = args.output.rstrip("/") if is_url(args.output) else ""
    if args.work is not None and not publish:
        raise ValueError("--work goes with an --output that is a URL")
    return bulk.Settings(
        output=(_work_folder(args) if publish else Path(args.output)).absolute(),
        publish=publish,
        operation=args.operation,
        load=functools.partial(_load, args, model, identity["model"]),
        masks=functools.partial(_mask_reader, args.fit),
        check=functools.partial(_check_direction, args.model),
        identity=identity,
        kind=f".{args.format}",
        fit=args.fit,
        align=_alignment(args, model),
        crop=args.crop,
        paste="" if getattr(args, "paste", "square") == "square" else args.paste,
        shards=getattr(args, "shards", False),
        chunk=args.chunk,
        batch=args.batch,
        threads=args.threads,
        fail_fast=args.fail_fast,
    )


def _work_folder(args: argparse.Namespace) -> Path:
    """Where chunks are made whose output is a URL."""
    if args.work is not None:
        return Path(args.work)
    name = hashlib.sha256(args.output.rstrip("/").encode()).hexdigest()[:16]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylemap" / "bulk" / name


def _alignment(args: argparse.Namespace, model: Path) -> str:
    """The convention that faces are aligned by; "" where they are not: the model is of something else."""
    if not args.align:
        return ""
    if not faces.available():
        raise ImportError(f"--align needs onnxruntime and its networks: {how_to_install('align')}")
    chosen = known(model).convention if args.alignment == "auto" else CONVENTIONS[args.alignment]
    return "" if chosen is None else chosen.name


def _model_path(args: argparse.Namespace) -> Path:
    """The file of the model, which workers open under the same path."""
    if args.model in (None, "", checkpoint.DEMO):
        found = assets.demo_model()
        if found is None:
            raise ValueError("no model: this copy of stylemap bundles none; name one with --model FILE")
        return found
    args.model = str(Path(args.model).absolute())
    return Path(args.model)


def _load(args: argparse.Namespace, path: Path, expected: str) -> Model:
    if bulk.digest(path) != expected:
        raise ValueError(f"{path} is another file here than where the run was started")
    return common.load_for_edits(args, sessions=args.operation in ("edit", "mix"))


def _size(args: argparse.Namespace) -> int:
    """The side of the model's images."""
    from stylemap.data.lmdb_store import is_store

    return common.load_model(args).config.size if is_store(args.input) else 0


def _mask_reader(fit: images.Fit, size: int) -> masks.MaskReader:
    return masks.MaskReader(size, fit)


def _check_direction(model: str | None, name: str) -> None:
    if model not in (None, "", checkpoint.DEMO) and edit.direction_set.is_bundled(name):
        raise ValueError(f"the direction {name!r} is one of the bundled model's, and {model} is another")
