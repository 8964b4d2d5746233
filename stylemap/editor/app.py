"""The application: page, HTTP interface and WebSocket behind one guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import stylemap
from stylemap.editor import api, schemas, websocket
from stylemap.editor.clients import Away, Unavailable
from stylemap.editor.models import Models
from stylemap.editor.protocol import ProtocolError, reason
from stylemap.editor.security import LOOPBACK, Guard, gone
from stylemap.editor.studio import Studio
from stylemap.images import ImageError

STATIC = Path(__file__).parent / "static"
_SWEEP_SECONDS = 10.0
# The first that fits.
_STATUS: dict[type[Exception], int] = {ProtocolError: 400, ImageError: 415, Away: 503, Unavailable: 409}
_log = logging.getLogger(__name__)


def create_app(
    studio: Studio | Models, hosts: Collection[str] = LOOPBACK, token: str | None = None
) -> FastAPI:
    """The editor as an ASGI application.

    Args:
        studio: the model and what goes with it, or several to choose from.
        hosts: the names the server is reached under.
        token: what every request must carry; None for servers only this machine reaches.
    """

    models = studio if isinstance(studio, Models) else Models(studio)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        models.start()
        sweeping = asyncio.create_task(_sweep(models))
        try:
            yield
        finally:
            sweeping.cancel()
            models.close()

    app = FastAPI(
        title="stylemap editor",
        version=stylemap.__version__,
        docs_url=None,  # pages of scripts from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
        lifespan=lifespan,
        middleware=[Middleware(Guard, hosts=hosts, token=token, limits=models.first.limits)],
        exception_handlers={
            **dict.fromkeys(_STATUS, _told),
            HTTPException: _refused,
            RequestValidationError: _malformed,
            ClientDisconnect: gone,
            Exception: _failed,
        },
    )
    app.state.models = models

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def connect(socket: WebSocket) -> None:
        await websocket.serve(socket, models)

    app.add_route("/", page)
    app.add_api_websocket_route("/socket", connect)
    app.include_router(api.router)
    schemas.describe_limits(app.openapi(), models.first)
    app.mount("/static", _Static(directory=STATIC))
    return app


class _Static(StaticFiles):
    """Files that browsers ask again for: a new version is seen at once."""

    def file_response(self, *args, **kwargs) -> Response:  # type: ignore[no-untyped-def]
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


async def _sweep(models: Models) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        models.sweep()


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"allow": api.methods(request.url.path)} if error.status_code == 405 else error.headers
    return _problem(error.status_code, error.detail, headers)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _problem(400, reason(error.errors()))


async def _told(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return _problem(status, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    # The reason is for the log of who runs the server, not for whoever asked.
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "the server could not do this")
