"""The demonstration behind ``make demo``: local edits, and one picture of them.

With the demo model it edits generated faces (`demo_faces`), or the photos that are named. Without, it
makes a full-size 256 x 256 checkpoint in the published layout, with weights from a fixed recipe:
untrained, so that the pictures show the network at work and no face.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

import stylemap
from stylemap import assets, checkpoint, edit, images
from stylemap.cli import app, common, demo_faces
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from stylemap.sheets import Tile, contact_sheet, overlay

if TYPE_CHECKING:
    from stylemap.model import StyleMapGAN

# Where photos may lie when none are named: a folder in or beside the current one.
_PHOTO_FOLDERS = ("images", "shared/images", "../images", "../shared/images")
_ELLIPSE = (0.5, 0.55, 0.28, 0.22)
_REPEATS, _PATIENCE_MS = 5, 4000
_UNTRAINED = (
    "These weights are untrained (a fixed recipe): the results show that the network and the edit run at "
    "full size, not what a trained model paints."
)
_DRAWN_ONLY = "The bundled model knows drawn faces alone: photographs want a checkpoint of their own."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stylemap.cli.demo", description=__doc__)
    parser.add_argument(
        "--images", nargs=2, metavar=("ORIGINAL", "REFERENCE"), help="default: those in $IMAGES"
    )
    parser.add_argument(
        "--model", metavar="FILE", help="checkpoint (default: the bundled one, else the recipe's)"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--folder", type=Path, default=Path(".demo"), help="for what is written (default: .demo)"
    )
    args = parser.parse_args(argv)
    try:
        run(args)
    except app.EXPECTED as error:
        print(f"demo: error: {app.one_line(error)}", file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> None:
    """Load the model, make one local edit, print its times and write the picture.

    Args:
        args: the flags of `main`.

    Raises:
        ValueError: not two photos, or a file that is no image.
        CheckpointError: a model file that cannot be read.
    """
    bundled = assets.demo_model()
    path = Path(args.model or bundled or _recipe_checkpoint(args.folder))
    device = common.pick_device(args.device)
    begin = time.perf_counter()
    model = stylemap.load(path, device=device)
    size, cells = model.config.size, model.config.latent_spatial_size
    print(
        f"loaded {path} in {time.perf_counter() - begin:.1f} s: {size} x {size}, stylemap {cells} x {cells}"
    )

    directions = None if args.model or _named(args.images) else assets.demo_directions()
    faces = demo_faces.DemoFaces(size) if directions else None
    if faces:
        photos = torch.cat(
            [faces.photo(index) for index in (demo_faces.FACE, demo_faces.REFERENCES["mouth"])]
        )
        mask = faces.mask("mouth")
    else:
        names, photos = _photos(args.images, size)
        mask = edit.masks.ellipse(size, *_ELLIPSE)
    batch = photos.to(device)
    w, encode_ms = _timed(lambda: model.encode(batch), device)
    result, edit_ms = _timed(lambda: edit.local(model, w[:1], w[1:], mask), device)
    print(f"encode: {encode_ms / 2:.0f} ms per photo; edit: {edit_ms:.0f} ms ({device}, float32)")
    if device.type == "cpu" and _native.loaded():
        _print_session(model, photos, mask)

    sheet = args.folder / "demo.png"
    speed = f"encoded in {encode_ms / 2:.0f} ms per photo, edited in {edit_ms:.0f} ms"
    warning = "" if args.model or directions else _DRAWN_ONLY if bundled else _UNTRAINED
    note = f"{size} x {size}, float32, {speed} on {_machine(device)}. {warning}"
    if faces and directions:
        moves = edit.load_directions(directions, model.config.stylemap_shape)
        images.save(demo_faces.sheet(model, faces, moves, note), sheet)
    else:
        images.save(_sheet(model, photos, names, mask, w, result, note), sheet)
    if warning:
        print(warning)
    print(f"the picture is {sheet.resolve()}")


def _print_session(model: StyleMapGAN, photos: Tensor, mask: Tensor) -> None:
    """The time of a cached edit: encoded images, a new mask."""
    session = stylemap.EditSession(model)
    original, reference = (session.add(photo) for photo in photos)
    moves = itertools.cycle((0, 8))

    def stroke() -> Tensor:
        return session.edit(original, [session.reference(reference, mask, (next(moves), 0))])

    _, stroke_ms = _timed(stroke, torch.device("cpu"))
    print(f"the same size of edit in an EditSession, from what it has cached: {stroke_ms:.0f} ms")


def _sheet(
    model: StyleMapGAN,
    photos: Tensor,
    names: Sequence[str],
    mask: Tensor,
    w: Tensor,
    result: Tensor,
    note: str,
) -> Image.Image:
    decoded = model.decode(w).cpu()
    photos_row = [
        Tile(photos[0], names[0]),
        Tile(photos[1], names[1]),
        Tile(overlay(photos[1], [mask]), "ellipse"),
    ]
    decoded_row = [
        Tile(decoded[0], "decoded"),
        Tile(decoded[1], "decoded"),
        Tile(overlay(decoded[0], [mask]), "ellipse"),
    ]
    return contact_sheet(
        [[*photos_row, None], [*decoded_row, Tile(result[0].cpu(), "reference inside the mask")]],
        title="stylemap: a local edit",
        note=note,
        columns=["original", "reference", "mask", "edited"],
        labels=["photos", "network"],
    )


def _recipe_checkpoint(folder: Path) -> Path:
    """A 256 x 256 full generator with recipe weights, written once."""
    path = folder / "untrained_256_8x8.pt"
    if not path.exists():
        print(f"writing a full-size checkpoint with untrained weights to {path} (once) …", flush=True)
        checkpoint.save_published(recipe_model(stylemap.Config()), path)
    return path


def _photos(named: Sequence[str] | None, size: int) -> tuple[list[str], Tensor]:
    """Names and 2 x 3 x S x S: of the photos named, those in $IMAGES, a folder's, or generated faces."""
    chosen = _named(named)
    if chosen and len(chosen) != 2:
        raise ValueError(f"IMAGES must name two photos, original and reference; it names {len(chosen)}")
    chosen = chosen or _found_photos()
    if chosen:
        return [path.name for path in chosen], torch.stack([images.load(path, size) for path in chosen])
    from stylemap.data.faces import FacesDataset

    faces = FacesDataset(size, 2, seed=7, held_out=True)
    return ["generated face", "generated face"], faces.raw([0, 1]).float() / 127.5 - 1


def _named(arguments: Sequence[str] | None) -> list[Path]:
    return [Path(path) for path in arguments or shlex.split(os.environ.get("IMAGES", ""))]


def _found_photos() -> list[Path]:
    for folder in map(Path, _PHOTO_FOLDERS):
        for place in [folder, *sorted(folder.glob("*/"))]:
            photos = images.inside(place) if place.is_dir() else []
            if len(photos) >= 2:
                return photos[:2]
    return []


def _timed(step: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, float]:
    """The result of a step and its median time in milliseconds, after one run to warm up.

    Five runs, or fewer where they take longer than four seconds together.
    """
    result = step()
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _PATIENCE_MS:
        _synchronise(device)
        begin = time.perf_counter()
        result = step()
        _synchronise(device)
        times.append(1000 * (time.perf_counter() - begin))
    return result, statistics.median(times)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' * (threads != 1)}"


if __name__ == "__main__":
    sys.exit(main())
