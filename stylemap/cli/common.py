"""Shared parts of the commands: arguments, loading, progress, output."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from PIL import Image
from torch import Tensor

import stylemap
from stylemap import assets, checkpoint, images
from stylemap.cli import said, streams
from stylemap.cli.limits import MOST
from stylemap.model.checks import available_device

if TYPE_CHECKING:
    from stylemap.engine.session import EditSession
    from stylemap.export.runtime import Runtime
    from stylemap.model import Model, StyleMapGAN

T = TypeVar("T")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MAX_ROWS = 24
MAX_COLUMNS = 16
_MAX_SHOWN = 512
_SUFFIXES_NAMED = 5  # where files are ignored


def add_model_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add --model, --device, --precision and --seed, which `load_model` reads.

    several: --model may be repeated, and is a list.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        action="append" if several else "store",
        metavar="FILE",
        help="published .pt, .safetensors, a folder with one, hf://USER/REPOSITORY/FILE, or what stylemap "
        "export wrote (default: demo, the bundled one)",
    )
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, … (default: cuda where there is one)"
    )
    group.add_argument("--precision", choices=sorted(PRECISIONS), default="fp32", help="default: fp32")
    group.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="of a class-conditional model, by its name or number: what random images are of (default: any)",
    )
    group.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")


def add_original_argument(parser: argparse.ArgumentParser) -> None:
    """Add the photos that a command works on: IMAGE …, or --original PATH …; `originals` reads them."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files or folders")
    parser.add_argument(
        "--original", nargs="+", default=[], metavar="PATH", help="the same, as the other commands have it"
    )


def check_counts(args: argparse.Namespace, low: int, *names: str, most: int = MOST) -> None:
    """Raise ValueError for a count among the arguments below ``low`` or above ``most``; None passes."""
    for name in names:
        value, flag = getattr(args, name), f"--{name.replace('_', '-')}"
        if value is not None and value < low:
            raise ValueError(f"{flag} must be at least {low}, got {value}")
        if value is not None and value > most:
            raise ValueError(f"{flag} must be at most {most}, got {value}")


def find(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """`stylemap.images.find`; one line for each folder says how many of its files are ignored, and why."""
    named = [Path(path) for path in paths]
    found = images.find(named)
    for folder in (path for path in named if path.is_dir()):
        ignored = images.others(folder)
        if ignored:
            suffixes = sorted({path.suffix.lower() or "no suffix" for path in ignored})
            kinds = ", ".join(suffixes[:_SUFFIXES_NAMED]) + ", …" * (len(suffixes) > _SUFFIXES_NAMED)
            count = f"{len(ignored)} file{'s' * (len(ignored) != 1)}"
            read = ", ".join(images.SUFFIXES)
            said.warn(f"{folder}: {count} ignored, no image by the name ({kinds}); read are {read}")
    return found


def originals(args: argparse.Namespace) -> list[str]:
    """The photos that `add_original_argument` was given.

    Raises:
        ValueError: none.
    """
    named = [*args.images, *args.original]
    if not named:
        raise ValueError("no photo: name image files or folders")
    return named


def add_fit_argument(parser: argparse.ArgumentParser) -> None:
    """Add --fit: how photos become square (see `stylemap.images.load`)."""
    parser.add_argument(
        "--fit",
        choices=images.FITS,
        default="crop",
        help="how photos become square: centre crop (default), white borders, or squashed",
    )


def add_skip_argument(parser: argparse.ArgumentParser) -> None:
    """Add --skip-corrupt, which `find_readable` reads."""
    parser.add_argument(
        "--skip-corrupt", action="store_true", help="report unreadable files and go on without them"
    )


def find_readable(
    args: argparse.Namespace,
    paths: Iterable[str],
    decode: Callable[[Path], object] = images.open_rgb,
) -> list[Path]:
    """As `find`. With --skip-corrupt every file is decoded once, and what cannot be is left out and reported;
    without it `app` tells of it where one of several cannot.

    Raises:
        FileNotFoundError, ImageError: no such file, or no images there.
    """
    from stylemap.data import folder
    from stylemap.data.lmdb_store import instead_of_images

    named = [Path(path) for path in paths]
    for path in named:
        instead = instead_of_images(path) if path.is_dir() and not images.inside(path) else ""
        if instead:
            raise images.ImageError(f"{path} holds no images{instead}")
    found = find(named)
    if not args.skip_corrupt:
        if len(found) > 1:
            args.skippable = [*getattr(args, "skippable", []), *found]
        return found
    good, bad = folder.sort_out(found, decode)
    for path, reason in bad:
        said.warn(f"skipped {reason}" if str(path) in reason else f"skipped {path}: {reason}")
        said.add("skipped", {"file": path, "reason": reason})
    if not good:
        raise images.ImageError(f"no readable image in {', '.join(map(str, named))}")
    return good


def load_model(args: argparse.Namespace) -> StyleMapGAN | Runtime:
    """The model that the arguments name, on their device and in their precision, frozen for evaluation.

    Raises:
        ValueError: no model, or a device or precision that is not available.
        CheckpointError: a file that is no checkpoint.
    """
    path = _path(args)
    torch.manual_seed(args.seed)
    from stylemap.export.runtime import is_exported

    if is_exported(path):
        return _open_exported(path, args)
    return _load(args, pick_device(args.device), PRECISIONS[args.precision])


def load_for_edits(args: argparse.Namespace, *, sessions: bool = False) -> Model:
    """As `load_model`, on the inference plan where there is one, which then has all the weights there are.
    For commands that need no gradients. sessions: whether there will be a `session_of` it.
    """
    from stylemap.export.runtime import is_exported

    if is_exported(_path(args)):
        return load_model(args)
    from stylemap.engine.plans import PlannedModel, for_inference

    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    model = for_inference(_load(args, device), device, args.precision)
    # Refining takes gradients of the model itself.
    if isinstance(model, PlannedModel) and not getattr(args, "refine", 0):
        model.release(sessions=sessions)
    return model


def session_of(model: Model) -> EditSession:
    """A session of a model from `load_for_edits` with ``sessions``."""
    from stylemap.engine.session import EditSession

    return EditSession.of(model)


def _load(args: argparse.Namespace, device: torch.device, dtype: torch.dtype = torch.float32) -> StyleMapGAN:
    """The checkpoint that the arguments name, of the class they name."""
    model = stylemap.load(_path(args), device=device, dtype=dtype)
    chosen: str | None = getattr(args, "class_name", None)
    return model if chosen is None else model.of_class(chosen)


def _path(args: argparse.Namespace) -> Path:
    path = Path(args.model) if args.model not in (None, "", checkpoint.DEMO) else assets.demo_model()
    if path is None:
        raise ValueError("no model: this copy of stylemap bundles none; name a checkpoint with --model FILE")
    return path


def _open_exported(path: Path, args: argparse.Namespace) -> Runtime:
    """An exported model.

    Raises:
        ValueError: a precision or device that the files do not have.
    """
    from stylemap.export.runtime import Runtime

    if getattr(args, "class_name", None) is not None:
        raise ValueError(f"--class is of checkpoints: {path} is of the class it was exported for")
    if args.precision != "fp32":
        raise ValueError(f"--precision is of checkpoints: {path} has the precision it was exported in")
    runtime = Runtime(path)
    if args.device != "auto" and torch.device(args.device).type != runtime.device.type:
        raise ValueError(f"{path} runs on {runtime.device} here, not on {args.device}")
    return runtime


def pick_device(name: str) -> torch.device:
    """ "auto" is cuda where there is one.

    Raises:
        ValueError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return available_device(name)


def read(model: Model, path: Path, args: argparse.Namespace) -> Tensor:
    """A photo 1 x 3 x S x S in [-1, 1], in the model's dtype and on its device."""
    return to_model(model, images.load(path, model.config.size, fit=getattr(args, "fit", "crop")))


def to_model(model: Model, image: Tensor) -> Tensor:
    """An image or batch as a batch N x 3 x S x S, in the model's dtype and on its device."""
    batch = image if image.ndim == 4 else image[None]
    return batch.to(model.like)


def encode_all(model: Model, paths: Sequence[Path], args: argparse.Namespace, label: str) -> Tensor:
    """Stylemaps N x K x L x L of many photos, encoded four at a time."""
    found = []
    for start in progress(range(0, len(paths), 4), label):
        found.append(model.encode(torch.cat([read(model, path, args) for path in paths[start : start + 4]])))
    return torch.cat(found)


def pair_up(a: Sequence[T], b: Sequence[T]) -> list[tuple[T, T]]:
    """Pairs of the two lists, element by element; a list of one element goes with every other.

    Raises:
        ValueError: the counts differ and neither is 1.
    """
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise ValueError(f"{len(a)} and {len(b)} images make no pairs: name equally many, or one for all")
    count = max(len(a), len(b))
    return [(a[i % len(a)], b[i % len(b)]) for i in range(count)]


def shown_of(count: int) -> list[int]:
    """Which of ``count`` frames a contact sheet shows: all of few, else some at equal steps, both ends."""
    if count <= MAX_COLUMNS:
        return list(range(count))
    return [round(i * (count - 1) / (MAX_COLUMNS - 1)) for i in range(MAX_COLUMNS)]


def thumbnail(image: Tensor) -> Image.Image:
    """A picture no larger than contact sheets show it: what is kept of a frame after it is saved."""
    picture = images.to_image(image)
    picture.thumbnail((_MAX_SHOWN, _MAX_SHOWN), Image.Resampling.LANCZOS)
    return picture


def _span(seconds: float) -> str:
    """About how long: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show the progress on stderr: a bar on a terminal, elsewhere about ten lines."""
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    if not said.voice().shows_progress:
        yield from items
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=label, total=total, leave=False)
        return
    every = max(1, -(-total // 10))
    begin = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if done % every == 0 or done == total:
            left = (time.monotonic() - begin) / done * (total - done)
            streams.tell(f"{label}: {done}/{total}" + (f", {_span(left)} left" if left >= 1 else ""))
