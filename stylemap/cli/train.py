"""stylemap train: train a model."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

# What drawn faces need, and a CPU can train in minutes; photographs take the published widths.
FACES: dict[str, Any] = {
    "model": {
        "size": 128,
        "small_generator": True,
        "channel_table": {"128": 16, "64": 32, "32": 64, "16": 128, "8": 128, "4": 128},
    },
    "batch": 8,
    "precision": "bf16",
    "ema_rampup": True,
    "sample_every": 100,
    "checkpoint_every": 50,
}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "train",
        help="train a model",
        description="Train a model. Settings come from --config, then from the flags; both are written into"
        " the folder of the run. Without --config, generated faces get a narrow model that a CPU can train."
        " Start several processes with torchrun.",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--config", metavar="FILE", help="YAML or JSON, as in the config.yaml of a run")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in DIR")
    _add_settings(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stylemap.train import TrainConfig, train

    folder = Path(args.output)
    written = folder / "config.yaml"
    values: dict[str, Any] = {}
    if args.config:
        values = TrainConfig.load(Path(args.config)).to_dict()
    elif args.resume and written.exists():
        values = TrainConfig.load(written).to_dict()
    elif getattr(args, "data", "faces") == "faces":
        print(
            "generated faces: the demo model's narrow channels, batch and precision, where no flag says more"
        )
        values = FACES
    last = train(TrainConfig.from_dict(merge(values, args)), folder, resume=args.resume)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes only the first writes
        print(f"wrote {last}")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting. Unset ones stay absent, so that they do not override the file."""
    from stylemap.config import Config
    from stylemap.train.config import Lambdas, TrainConfig

    run_group = parser.add_argument_group("run", "see stylemap.train.TrainConfig for what each one means")
    _add_fields(run_group, TrainConfig, "", skip=("model", "lambdas"))
    model = parser.add_argument_group("model")
    _add_fields(model, Config, "", dest="model.", skip=("channel_table",))
    model.add_argument(
        "--channel-table",
        dest="model.channel_table",
        type=_table,
        default=argparse.SUPPRESS,
        metavar="R:C,…",
        help="channels at resolutions, such as 128:16,64:32",
    )
    lambdas = parser.add_argument_group("weights of the losses (0 leaves one out)")
    _add_fields(lambdas, Lambdas, "lambda-", dest="lambdas.")


def _add_fields(group: Any, cls: type, prefix: str, dest: str = "", skip: tuple[str, ...] = ()) -> None:
    for field in dataclasses.fields(cls):
        if field.name in skip:
            continue
        flag = f"--{prefix}{field.name.replace('_', '-')}"
        options: dict[str, Any] = {"dest": dest + field.name, "default": argparse.SUPPRESS}
        default = f"default: {field.default}" if field.default != "" else "default: none"
        if isinstance(field.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=default, **options)
        else:
            group.add_argument(
                flag, type=type(field.default), metavar=type(field.default).__name__, help=default, **options
            )


def _table(text: str) -> dict[str, int]:
    try:
        return {r.strip(): int(c) for r, c in (pair.split(":") for pair in text.split(","))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected RESOLUTION:CHANNELS,…, got {text!r}") from error


def merge(values: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The settings ``values`` with the given flags over them, in the form `TrainConfig.from_dict` takes."""
    from stylemap.train import TrainConfig

    merged = {"model": {}, "lambdas": {}} | values
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for name, value in vars(args).items():
        part, dot, key = name.partition(".")
        if dot:
            merged[part] = merged[part] | {key: value}
        elif name in known:
            merged[name] = value
    return merged
