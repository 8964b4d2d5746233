"""Running the application: a studio for a model, a socket to listen at, uvicorn."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import uvicorn

from stylemap.editor.app import create_app
from stylemap.editor.composer import Composer
from stylemap.editor.directions import load_steps
from stylemap.editor.gallery import Gallery
from stylemap.editor.limits import Limits
from stylemap.editor.models import Models
from stylemap.editor.parts import OnnxSegmenter
from stylemap.editor.studio import Studio
from stylemap.model import Model
from stylemap.photo.models import Knowledge

if TYPE_CHECKING:
    from stylemap.editor.remote import RemoteComposer


def open_studio(
    model: Model,
    name: str,
    *,
    folder: Path | None = None,
    directions: str | os.PathLike[str] | None = None,
    precision: str = "fp32",
    cache_bytes: int | None = None,
    limits: Limits | None = None,
    knowledge: Knowledge | None = None,
    segmenter: Path | None = None,
) -> Studio:
    """Everything an editor of this model works with.

    Args:
        name: what the page calls the model.
        folder: of photos to offer.
        directions: file of the sliders; None takes the bundled ones where they fit.
        precision: of a checkpoint's edits, see `EditSession`.
        cache_bytes: of what it keeps of images, likewise. One image of a 128×128 model takes some 10 MB.
        knowledge: how faces are aligned for the model, and how well it draws what it knows.
        segmenter: an ONNX file that tells the parts of pictures, see `parts.OnnxSegmenter`.

    Raises:
        ValueError, OSError: a folder or file that cannot be used.
        ImportError: a segmenter without ONNX Runtime.
    """
    gallery = Gallery(model.config.size, folder)
    composer = Composer(model, precision, cache_bytes)
    parts = None if segmenter is None else OnnxSegmenter(segmenter)
    composer.directions = load_steps(directions, model.config, composer.usual_step)
    return Studio(composer, gallery, limits or Limits(), name, knowledge, parts)


def open_remote(
    composer: RemoteComposer,
    *,
    folder: Path | None = None,
    limits: Limits | None = None,
    segmenter: Path | None = None,
) -> Studio:
    """Everything an editor works with whose model is elsewhere; arguments and errors as of `open_studio`."""
    gallery = Gallery(composer.config.size, folder)
    parts = None if segmenter is None else OnnxSegmenter(segmenter)
    model = composer.model
    studio = Studio(composer, gallery, limits or Limits(), model.name, model.knowledge, parts)
    composer.on_back = studio.engine_back
    return studio


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address cannot be used; the message names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
    return listener


def address(listener: socket.socket, host: str, token: str | None) -> str:
    """What to open in a browser."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listener.getsockname()[1]}/" + (f"?token={quote(token)}" if token else "")


def make_server(studio: Studio | Models, hosts: Collection[str], token: str | None = None) -> uvicorn.Server:
    """The HTTP server, to be run with ``run(sockets=[…])``."""
    models = studio if isinstance(studio, Models) else Models(studio)
    config = uvicorn.Config(
        create_app(models, hosts, token),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        # The longest message is a mask in runs of a pixel each.
        ws_max_size=max(models.first.limits.text_bytes, 3 * models.largest**2) + 64,
        ws_per_message_deflate=False,
        limit_concurrency=256,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
