"""The application: pages, HTTP interface and WebSocket behind one guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from stylemap.editor import socket as sockets
from stylemap.editor.client import Unavailable
from stylemap.editor.http import Api
from stylemap.editor.limits import Buckets
from stylemap.editor.protocol import ProtocolError
from stylemap.editor.security import LOOPBACK, Guard
from stylemap.editor.studio import Studio
from stylemap.images import ImageError

STATIC = Path(__file__).parent / "static"
_SWEEP_SECONDS = 10.0
_log = logging.getLogger(__name__)


def create_app(studio: Studio, hosts: Collection[str] = LOOPBACK, token: str | None = None) -> Starlette:
    """The editor as an ASGI application.

    Args:
        studio: the model and what goes with it.
        hosts: the names the server is reached under.
        token: what every request must carry; None for servers only this machine reaches.
    """
    openings = Buckets(studio.limits.session_rate, studio.limits.sessions)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        studio.renderer.start()
        sweeping = asyncio.create_task(_sweep(studio))
        try:
            yield
        finally:
            sweeping.cancel()
            studio.renderer.close()

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def socket(socket: WebSocket) -> None:
        await sockets.serve(socket, studio, openings)

    routes = [
        Route("/", page),
        WebSocketRoute("/socket", socket),
        *Api(studio, openings).routes(),
        Mount("/static", _Static(directory=STATIC)),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, hosts=hosts, token=token, limits=studio.limits)],
        exception_handlers={
            HTTPException: _refused,
            ProtocolError: _malformed,
            ImageError: _unreadable,
            Unavailable: _unavailable,
            Exception: _failed,
        },
    )


class _Static(StaticFiles):
    """Files that browsers ask again for: a new version is seen at once."""

    def file_response(self, *args, **kwargs) -> Response:  # type: ignore[no-untyped-def]
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


async def _sweep(studio: Studio) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        studio.clients.sweep()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _malformed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _unreadable(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 415)


async def _unavailable(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


async def _failed(request: Request, error: Exception) -> Response:
    # The reason is for the log of who runs the server, not for whoever asked.
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "the server could not do this"}, 500)
