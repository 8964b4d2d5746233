"""stylemap edit-server: the web editor, served to this machine's browser."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from stylemap import assets, checkpoint
from stylemap.checkpoint.hub import WEIGHTS
from stylemap.cli import common, limits
from stylemap.config import Config
from stylemap.export.runtime import is_exported
from stylemap.optional import how_to_install
from stylemap.photo.models import known

if TYPE_CHECKING:
    from stylemap.editor.studio import Studio
    from stylemap.model import Model, StyleMapGAN

ENGINE_TOKEN = "STYLEMAP_ENGINE_TOKEN"
_OF_THE_MODEL = ("directions", "cache", "threads", "device", "precision", "class_name")
_DEFAULTS = {"device": "auto", "precision": "fp32"}
_SUFFIXES = (".pt", ".safetensors")
# Shaped as the demo model: what is shown where a copy of the package bundles none.
_UNTRAINED = Config(
    size=128,
    latent_channel_size=64,
    latent_spatial_size=8,
    small_generator=True,
    channel_table={128: 16, 64: 32, 32: 64, 16: 128, 8: 128, 4: 128},
)


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``edit-server`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "edit-server", help="the web editor", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one (default: 8123)")
    parser.add_argument(
        "--token", help="what every request must carry; made up where others than this machine reach the host"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name the server has"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="photos to offer, beside generated faces"
    )
    parser.add_argument(
        "--segmenter",
        type=Path,
        metavar="FILE",
        help="an ONNX network that finds the parts of any photo; those of drawn faces are known without",
    )
    parser.add_argument("--directions", metavar="FILE", help="directions of the sliders (.safetensors, .npz)")
    parser.add_argument(
        "--cache",
        type=int,
        metavar="MIB",
        help="memory for what is kept of images (on a CPU half of what is free)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of the CPU, for the model")
    parser.add_argument(
        "--engine",
        metavar="URL",
        help="of a stylemap serve that has the model; --model is then its name there, to be sure of it",
    )
    parser.add_argument(
        "--engine-token",
        metavar="TOKEN",
        help=f"of that service, where it wants one (default: what {ENGINE_TOKEN} in the environment says)",
    )
    parser.add_argument("--open", action="store_true", help="open the browser, where there is a screen")
    common.add_model_arguments(parser, several=True)
    parser.epilog = "--model may be repeated, and may be a folder of several: the page has a switch then."
    return parser


def run(args: argparse.Namespace) -> None:
    """Serve the editor until it is interrupted."""
    if not 0 <= args.port < 65536:
        raise ValueError(f"--port must be between 0 and 65535, got {args.port}")
    common.check_counts(args, 1, "threads", most=limits.MOST_THREADS)
    if args.cache is not None and not 0 <= args.cache <= 1 << 20:
        raise ValueError(f"--cache must be between 0 and {1 << 20} MiB, got {args.cache}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    from stylemap.editor import security, server
    from stylemap.editor.models import Models

    if args.engine is None:
        files = _files(args.model)
        listener = server.listen(args.host, args.port)
        first = _studio(args, files[0])
        models = Models(first, {name: partial(_studio, args, file) for name, file in _others(files).items()})
    else:
        studio = _remote_studio(args)
        listener, models = server.listen(args.host, args.port), Models(studio)
    token = args.token or (None if security.is_loopback(args.host) else secrets.token_urlsafe(18))
    hosts = {args.host, socket.gethostname(), *args.allow_host, *security.LOOPBACK}
    address = server.address(listener, args.host, token)
    print(f"stylemap editor: {address}\nmodel: {', '.join(models.names)}; stop with Ctrl+C", flush=True)
    if args.open and _has_screen():
        webbrowser.open(address)
    server.make_server(models, hosts, token).run(sockets=[listener])


def _files(named: list[str] | None) -> list[str | None]:
    """What --model names, with the files of folders of several; None is what is shown where it names none."""
    found: list[str | None] = []
    for name in named or []:
        several = _several(Path(name)) if name else []
        found += [str(path) for path in several] or [_located(name) or None]
    return found or [None]


def _located(name: str) -> str:
    """A model of the Hub, or a folder with weights, as the file that it is."""
    if checkpoint.is_remote(name) or (Path(name).is_dir() and not is_exported(name)):
        return str(checkpoint.locate(name))
    return name


def _several(folder: Path) -> list[Path]:
    """The models of a folder that holds more than one, and not the parts of one."""
    if not folder.is_dir() or (folder / WEIGHTS).exists():
        return []
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    return found if len(found) > 1 else []


def _others(files: list[str | None]) -> dict[str, str | None]:
    """All but the first by the names that the page calls them.

    Raises:
        ValueError: two of them have one name.
        FileNotFoundError: one is missing: told at the start, not to who chooses it.
    """
    for file in files:
        if file not in (None, checkpoint.DEMO) and not os.path.exists(str(file)):
            raise FileNotFoundError(f"{file}: no such file")
    named = {_name(file): file for file in files}
    if len(named) < len(files):
        raise ValueError("--model: two files have one name, by which the page could not tell them apart")
    return dict(list(named.items())[1:])


def _name(file: str | None) -> str:
    path = Path(file) if file else assets.demo_model()
    return path.name if path is not None else "untrained weights"


def _studio(args: argparse.Namespace, file: str | None) -> Studio:
    """The studio of one of the models."""
    from stylemap.editor import server

    chosen = argparse.Namespace(**{**vars(args), "model": file})
    model, name = _model(chosen)
    named = file not in (None, checkpoint.DEMO)
    return server.open_studio(
        model,
        name,
        folder=args.images,
        directions=args.directions,
        precision=args.precision,
        cache_bytes=None if args.cache is None else args.cache << 20,
        knowledge=known(Path(str(file)) if named else assets.demo_model()),
        segmenter=args.segmenter,
    )


def _remote_studio(args: argparse.Namespace) -> Studio:
    """The studio of a service's model."""
    for name in _OF_THE_MODEL:
        if getattr(args, name) not in (None, _DEFAULTS.get(name)):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} goes with a model here: the one of --engine has its own settings")
    try:
        from stylemap.editor.remote import RemoteComposer
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise ImportError(f"--engine needs httpx: {how_to_install('editor')}") from error
    from stylemap.editor import server

    composer = RemoteComposer(args.engine, args.engine_token or os.environ.get(ENGINE_TOKEN))
    found, wanted = composer.model.name, [Path(name).name for name in args.model or []]
    if wanted not in ([], [found]):
        raise ValueError(f"the engine at {args.engine} has the model {found}, not {', '.join(wanted)}")
    return server.open_remote(composer, folder=args.images, segmenter=args.segmenter)


def _has_screen() -> bool:
    """Whether there is a screen. Without one, a text browser could take over the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _model(args: argparse.Namespace) -> tuple[Model, str]:
    """The model and what the page calls it: the one named, the bundled one, or an untrained one."""
    from stylemap.engine.plans import handed_over

    path = Path(args.model) if args.model else assets.demo_model()
    if path is not None:
        if is_exported(path):
            return common.load_model(args), path.name
        # The precision is the session's, which takes it from float32 weights.
        model = common.load_model(argparse.Namespace(**{**vars(args), "precision": "fp32"}))
        return handed_over(cast("StyleMapGAN", model), args.precision), path.name
    from stylemap.model.recipe import recipe_model

    return recipe_model(_UNTRAINED).to(common.pick_device(args.device)), "untrained weights"
