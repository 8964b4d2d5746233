"""stylemap serve: edits over HTTP for many users, by replicas on Ray Serve or in this process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylemap.cli import common
from stylemap.optional import how_to_install

if TYPE_CHECKING:
    from stylemap.serving.settings import Settings

_MOST_THREADS = 4  # that one replica's model gains from
_MOST_REPLICAS = 4096
# Seconds that a connection without a request stays open: longer than clients and proxies keep theirs (httpx:
# 5, nginx: 60). Where the server is the first to close, a request that is on its way is lost.
_IDLE = 75
_PACKAGES = ("fastapi", "pydantic", "starlette", "uvicorn", "prometheus_client", "python_multipart")


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``serve`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "serve", help="edits over HTTP, for many users", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8124, help="(default: 8124)")
    parser.add_argument(
        "--replicas",
        type=_replicas,
        default="auto",
        metavar="N",
        help="processes with a model, on Ray Serve; auto (the default): by load, up to one per GPU, or "
        "per --threads cores; 0: in this process, without Ray",
    )
    parser.add_argument(
        "--ray",
        default="auto",
        metavar="ADDRESS",
        help="of a Ray cluster (default: auto, this machine's, or a new one; local: a new one)",
    )
    _add_limits(parser)
    parser.add_argument("--directions", metavar="FILE", help="directions (.safetensors, .npz)")
    parser.add_argument(
        "--cache",
        type=int,
        metavar="MIB",
        help="memory of a replica for what is kept of photos "
        "(on a CPU half of what is free, shared by the replicas of this machine)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="of the CPU, for each replica's model (default: this machine's cores by --replicas, at most 4; "
        "1 with auto)",
    )
    common.add_model_arguments(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("users and limits")
    group.add_argument("--tokens", metavar="FILE", help="who may ask: lines NAME TOKEN [requests a second]")
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="without tokens: another name that the server is reached under",
    )
    group.add_argument(
        "--token-rate",
        type=float,
        default=50,
        metavar="N",
        help="requests a second of a token that has no other (default: 50)",
    )
    group.add_argument(
        "--token-jobs",
        type=int,
        default=64,
        metavar="N",
        help="requests of a token at the same time (default: 64)",
    )
    group.add_argument(
        "--queue",
        type=int,
        default=32,
        metavar="N",
        help="requests that may wait; the next are answered with status 429 (default: 32)",
    )
    group.add_argument(
        "--deadline", type=float, default=30, metavar="SECONDS", help="of a request at most (default: 30)"
    )
    group.add_argument(
        "--batch",
        type=int,
        default=0,
        metavar="N",
        help="requests that a replica takes at once (default: 8 on a GPU, 1 on a CPU)",
    )
    group.add_argument(
        "--photos",
        metavar="DIR",
        help="folder of the uploads, which all replicas must reach (default: one that goes with the server)",
    )
    group.add_argument(
        "--photos-mib", type=int, default=4096, metavar="MIB", help="of all uploads (default: 4096)"
    )


def run(args: argparse.Namespace) -> None:
    """Serve until it is interrupted."""
    if not 0 <= args.port < 65536:
        raise ValueError(f"--port must be between 0 and 65535, got {args.port}")
    try:
        from stylemap.editor import security
        from stylemap.serving import application  # noqa: F401 (all that it needs is here)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        how = how_to_install("serving")
        raise ImportError(f"stylemap serve needs {error.name}: {how}") from error
    if not args.tokens and not security.is_loopback(args.host):
        raise ValueError(f"--host {args.host} is reached from elsewhere: name the users with --tokens FILE")
    with _folder(args) as folder:
        settings = _settings(args, folder)
        if settings.replicas == 0:
            _here(args, settings)
        else:
            _on_ray(args, settings)


def _replicas(text: str) -> int | str:
    short = len(text.lstrip("0")) <= len(str(_MOST_REPLICAS))  # int() takes no more than 4300 digits
    if text != "auto" and not (short and text.isdecimal() and int(text[-9:]) <= _MOST_REPLICAS):
        raise argparse.ArgumentTypeError(
            f"expected auto, or a number from 0 to {_MOST_REPLICAS}, got {text!r}"
        )
    return text if text == "auto" else int(text[-9:])


def _share(replicas: int | str) -> int:
    """Threads of one of so many replicas on this machine."""
    if replicas == "auto" or int(replicas) < 1:
        return 1
    return max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // int(replicas)))


@contextlib.contextmanager
def _folder(args: argparse.Namespace) -> Iterator[Path]:
    """Of the uploads."""
    if args.photos:
        yield Path(args.photos).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="stylemap-photos-") as folder:
        yield Path(folder)


def _settings(args: argparse.Namespace, folder: Path) -> Settings:
    from stylemap import checkpoint
    from stylemap.serving.settings import Settings

    named = args.model not in (None, "", checkpoint.DEMO)
    local = named and not args.model.startswith("hf://")
    threads = args.threads or _share(args.replicas)
    return Settings.of(
        {
            "model": str(Path(args.model).absolute()) if local else args.model or checkpoint.DEMO,
            "class_name": args.class_name,
            "device": args.device,
            "precision": args.precision,
            "threads": args.threads if args.replicas == 0 else threads,
            "cpus": threads,
            "cache_mib": args.cache,
            "directions": args.directions and str(Path(args.directions).absolute()),
            "photos": str(folder),
            "photos_mib": args.photos_mib,
            "replicas": args.replicas,
            "queue": args.queue,
            "batch": args.batch,
            "deadline": args.deadline,
            "tokens": str(Path(args.tokens).absolute()) if args.tokens else "",
            "hosts": (args.host, *args.allow_host),
            "token_rate": args.token_rate,
            "token_jobs": args.token_jobs,
        }
    )


def _here(args: argparse.Namespace, settings: Settings) -> None:
    from stylemap.editor import server
    from stylemap.serving import application
    from stylemap.serving.engine import Engine
    from stylemap.serving.service import Local

    listener = server.listen(args.host, args.port)
    store = application.make_store(settings)
    engine = Engine(settings, store)
    service = Local(engine, settings.queue, settings.batch_on(engine.kind))
    _answer(args, application.create_app(settings, service, store), engine.about.name, listener)


def _on_ray(args: argparse.Namespace, settings: Settings) -> None:
    from stylemap.editor import server
    from stylemap.serving import application, cluster

    listener = server.listen(args.host, args.port)
    with cluster.replicas(settings, args.ray) as service:
        app = application.create_app(settings, service, application.make_store(settings))
        _answer(args, app, asyncio.run(service.about()).name, listener)


def _answer(args: argparse.Namespace, app: Any, model: str, listener: socket.socket) -> None:
    """Answer requests until a signal."""
    import uvicorn

    _say(model, args.host, listener.getsockname()[1])
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _say(model: str, host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    # At once: scripts wait for this line.
    print(f"stylemap serve: http://{name}:{port}/openapi.json\nmodel: {model}; stop with Ctrl+C", flush=True)
