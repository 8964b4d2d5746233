"""stylemap train: train a model."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
from pathlib import Path
from typing import Any

from stylemap import assets
from stylemap.cli import said

# What drawn faces need, and a CPU can train in minutes; photographs take the published widths.
FACES: dict[str, Any] = {
    "model": {
        "size": 128,
        "small_generator": True,
        "channel_table": {"128": 16, "64": 32, "32": 64, "16": 128, "8": 128, "4": 128},
    },
    "batch": 8,
    "precision": "bf16",
    "sample_every": 100,
    "checkpoint_every": 50,
}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "train",
        help="train a model",
        description="Train a model. Settings come from --recipe or --config, then from the flags; all are"
        " written into the folder of the run. Without either, drawn faces get a narrow model that a CPU can"
        " train. Start several processes with torchrun.",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the run")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help="YAML or JSON, as in the config.yaml of a run")
    source.add_argument(
        "--recipe",
        choices=assets.RECIPES,
        help="one of the package's: published (the paper's), seed (L1, hinge, perceptual and style losses,"
        " betas 0.5 and 0.999), demo (the bundled model's)",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in DIR")
    _add_ray(parser)
    _add_settings(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stylemap.data.open import is_drawn
    from stylemap.train import TrainConfig, train

    folder = Path(args.output)
    written = folder / "config.yaml"
    values: dict[str, Any] = {}
    if args.config:
        values = TrainConfig.load(Path(args.config)).to_dict()
    elif args.recipe:
        values = TrainConfig.load(assets.recipe(args.recipe)).to_dict()
    elif args.resume and written.exists():
        values = TrainConfig.load(written).to_dict()
    elif is_drawn(getattr(args, "data", "faces")):
        said.say(
            "drawn faces: the demo model's narrow channels, batch and precision, where no flag says more"
        )
        values = FACES
    config = TrainConfig.from_dict(merge(values, args))
    on_ray = args.ray is not None
    last = _on_ray(args, config, folder) if on_ray else train(config, folder, resume=args.resume)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes only the first writes
        said.note(checkpoint=last)
        said.say(f"wrote {last}")


def _add_ray(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on Ray")
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="train in processes of a Ray cluster (auto: this machine's, or a new one; local: a new one);"
        " when one dies all go on from the newest checkpoint",
    )
    group.add_argument("--ray-workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    group.add_argument("--ray-cpus", type=int, default=1, metavar="N", help="of each process (default: 1)")
    group.add_argument(
        "--ray-failures", type=int, default=10, metavar="N", help="deaths until the run fails (default: 10)"
    )


def _on_ray(args: argparse.Namespace, config: Any, folder: Path) -> Path:
    from stylemap.bulk import cluster
    from stylemap.train.on_ray import train_on_ray

    with cluster.connected(args.ray) as ray:
        gpus = config.device.startswith("cuda") or (
            config.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
        )
        return train_on_ray(
            config,
            folder,
            resume=args.resume,
            workers=args.ray_workers,
            cpus=args.ray_cpus,
            gpus=gpus,
            max_failures=args.ray_failures,
        )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting. Unset ones stay absent, so that they do not override the file."""
    from stylemap.config import Config
    from stylemap.train.config import TrainConfig
    from stylemap.train.lambdas import Lambdas
    from stylemap.train.settings import settings

    group: Any = parser
    for field in settings(TrainConfig):
        if field.metadata["group"]:
            group = parser.add_argument_group(field.metadata["group"])
        _add_flag(group, field, "", field.name, **_about(field))
    model = parser.add_argument_group("sizes of the networks")
    about = documentation(Config)
    for item in dataclasses.fields(Config):
        if item.name != "channel_table":
            _add_flag(
                model, item, "", f"model.{item.name}", help=about.get(item.name, "")
            )  # -OO leaves no docstrings
    model.add_argument(
        "--channel-table",
        dest="model.channel_table",
        type=_table,
        default=argparse.SUPPRESS,
        metavar="R:C,…",
        help="Channels at resolutions that shall not have the default ones, such as 128:16,64:32.",
    )
    lambdas = parser.add_argument_group("weights of the losses (0 leaves one out)")
    for field in settings(Lambdas):
        _add_flag(lambdas, field, "lambda-", f"lambdas.{field.name}", **{**_about(field), "unit": "WEIGHT"})


def _about(field: dataclasses.Field[Any]) -> dict[str, Any]:
    return {name: field.metadata[name] for name in ("help", "unit", "choices")}


def _add_flag(
    group: Any,
    field: dataclasses.Field[Any],
    prefix: str,
    dest: str,
    help: str,
    unit: str = "",
    choices: tuple[str, ...] = (),
) -> None:
    """A flag for a field. help, unit, choices: as in `stylemap.train.settings.setting`."""
    flag = f"--{prefix}{field.name.replace('_', '-')}"
    options: dict[str, Any] = {"dest": dest, "default": argparse.SUPPRESS}
    shown = field.default if field.default != "" else "none"
    if isinstance(field.default, bool):
        shown = "yes" if field.default else "no"
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["type"] = type(field.default)
        if choices:
            options["choices"] = choices
        else:
            options["metavar"] = unit or {int: "N", float: "X"}.get(type(field.default), "TEXT")
    group.add_argument(flag, help=f"{help} (default: {shown})".replace("%", "%%"), **options)


def documentation(cls: type) -> dict[str, str]:
    """The sentences of a docstring of the form "name: sentence", by name.

    Before Python 3.13 docstrings have the source's indentation, from it on none.
    """
    text = inspect.cleandoc(cls.__doc__ or "")
    text = re.sub(r":\w+:`([^`]*)`|`([^`]*)`", r"\1\2", text).replace("``", "")
    found = re.findall(r"^(\w+): (.*(?:\n {4}.*)*)", text, re.MULTILINE)
    return {name: " ".join(sentence.split()) for name, sentence in found}


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
