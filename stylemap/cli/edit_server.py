"""stylemap edit-server: the web editor, served to this machine's browser."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from stylemap import assets, checkpoint
from stylemap.cli import common
from stylemap.config import Config
from stylemap.photo.models import known

if TYPE_CHECKING:
    from stylemap.model import Model, StyleMapGAN

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
    parser.add_argument("--directions", metavar="FILE", help="directions of the sliders (.safetensors, .npz)")
    parser.add_argument(
        "--cache",
        type=int,
        metavar="MIB",
        help="memory for what is kept of images (on a CPU half of what is free)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of the CPU, for the model")
    parser.add_argument("--open", action="store_true", help="open the browser, where there is a screen")
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Serve the editor until it is interrupted."""
    if not 0 <= args.port < 65536:
        raise ValueError(f"--port must be between 0 and 65535, got {args.port}")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {args.threads}")
    if args.cache is not None and not 0 <= args.cache <= 1 << 20:
        raise ValueError(f"--cache must be between 0 and {1 << 20} MiB, got {args.cache}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    from stylemap.editor import security, server

    named = args.model not in (None, "", checkpoint.DEMO)
    listener = server.listen(args.host, args.port)
    model, name = _model(args)
    studio = server.open_studio(
        model,
        name,
        folder=args.images,
        directions=args.directions,
        precision=args.precision,
        cache_bytes=None if args.cache is None else args.cache << 20,
        convention=known(Path(args.model) if named else assets.demo_model()).convention,
    )
    token = args.token or (None if security.is_loopback(args.host) else secrets.token_urlsafe(18))
    hosts = {args.host, socket.gethostname(), *args.allow_host, *security.LOOPBACK}
    address = server.address(listener, args.host, token)
    print(f"stylemap editor: {address}\nmodel: {name}; stop with Ctrl+C", flush=True)
    if args.open and _has_screen():
        webbrowser.open(address)
    server.make_server(studio, hosts, token).run(sockets=[listener])


def _has_screen() -> bool:
    """Whether there is a screen. Without one, a text browser could take over the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _model(args: argparse.Namespace) -> tuple[Model, str]:
    """The model and what the page calls it: the one named, the bundled one, or an untrained one."""
    from stylemap.engine.plans import handed_over
    from stylemap.export.runtime import is_exported

    path = Path(args.model) if args.model else assets.demo_model()
    if path is not None:
        if is_exported(path):
            return common.load_model(args), path.name
        # The precision is the session's, which takes it from float32 weights.
        model = common.load_model(argparse.Namespace(**{**vars(args), "precision": "fp32"}))
        return handed_over(cast("StyleMapGAN", model), args.precision), path.name
    from stylemap.model.recipe import recipe_model

    return recipe_model(_UNTRAINED).to(common.pick_device(args.device)), "untrained weights"
