"""stylemap mix: layout of one image, details of another (style mixing)."""

from __future__ import annotations

import argparse
from typing import Any

from PIL import Image

from stylemap import edit
from stylemap.cli import common, results, sources
from stylemap.sheets import Row, Tile, contact_sheet


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``mix`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "mix", help="mix the stylecodes of two images", description=__doc__
    )
    sources.add_arguments(parser)
    codes = parser.add_mutually_exclusive_group()
    codes.add_argument(
        "--take",
        type=_take,
        default="coarse",
        metavar="WHAT",
        help="coarse: A's first two stylecodes, the rest from B (default); fine: B's first two, the rest "
        "from A; or the indices of the codes from B, as in 0,1,5",
    )
    codes.add_argument(
        "--layer", type=int, metavar="I", help="B's stylecodes from number I on, A's before it"
    )
    results.add_arguments(parser, "folder for the results, or a file for a single one")
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Mix the stylecodes of every pair of images and write the results."""
    pairs = sources.pair_up(args)
    output = results.Output.of(args, sources.pair_stems(pairs), sources.paths(pairs))
    model = common.load_for_edits(args)
    take = args.take if args.layer is None else _from_layer(args.layer, len(model.config.stylecode_shapes))
    encode = sources.Encoder(model, args)
    rows: list[Row] = []
    words = {"coarse": "all stylecodes but the first two", "fine": "the first two stylecodes"}
    taken = words[take] if isinstance(take, str) else f"stylecodes {', '.join(map(str, take))}"

    def sheet() -> Image.Image:
        columns = ["A", "A decoded", "B", "B decoded", "mixed"]
        return contact_sheet(rows, title="Style mixing", note=f"From B: {taken}.", columns=columns)

    with output.keeping(sheet):
        for (a, b), name in common.progress(list(zip(pairs, output.names)), "mix"):
            (first, w1), (second, w2) = encode.pair(a, b)
            result = edit.mix_styles(model, w1, w2, take=take)
            output.save(encode.album.returned(a.path, result), name)
            if len(rows) < common.MAX_ROWS:
                plain = [model.decode(w)[0].cpu() for w in (w1, w2)]
                names = [a.label, f"{a.label}, not mixed", b.label, f"{b.label}, not mixed"]
                tiles = [Tile(one, name) for one, name in zip((first, plain[0], second, plain[1]), names)]
                rows.append([*tiles, Tile(result[0].cpu(), _from_whom(take, a.label, b.label))])
    output.finish(sheet())


def _from_whom(take: str | list[int], a: str, b: str) -> str:
    if isinstance(take, str):
        layout, details = (a, b) if take == "coarse" else (b, a)
        return f"layout of {layout}, details of {details}"
    return f"{a} with stylecodes {', '.join(map(str, take))} of {b}"


def _from_layer(layer: int, count: int) -> list[int]:
    if not 0 < layer < count:
        raise ValueError(f"--layer must be from 1 to {count - 1}, as this model has {count} stylecodes")
    return list(range(layer, count))


def _take(text: str) -> str | list[int]:
    if text in ("coarse", "fine"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected coarse, fine or code indices as in 0,1,5, got {text!r}"
        ) from None
