"""The application: the HTTP interface behind its guard, and how its errors are told."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import stylemap
from stylemap.editor.limits import Limits
from stylemap.editor.protocol import reason
from stylemap.editor.security import LOOPBACK, Guard, gone
from stylemap.images import ImageError
from stylemap.serving import api, bodies
from stylemap.serving.access import Access, read_tokens
from stylemap.serving.metrics import Metrics
from stylemap.serving.service import Service
from stylemap.serving.settings import Settings
from stylemap.serving.store import Missing, PhotoStore

_log = logging.getLogger(__name__)
# Tokens have rates of their own; the guard's is by address, and a proxy in front has one address.
_NO_RATE = Limits(request_rate=1e9)


def make_store(settings: Settings) -> PhotoStore:
    """The store of the uploads, whose folder the settings name."""
    return PhotoStore(Path(settings.photos), settings.photos_mib << 20)


def create_app(settings: Settings, service: Service, store: PhotoStore) -> FastAPI:
    """The interface as an ASGI application; the service is closed with it.

    Raises:
        ValueError, OSError: the file of tokens.
    """
    tokens = read_tokens(Path(settings.tokens), settings.token_rate) if settings.tokens else None
    front = api.Front(settings, service, store, Access(settings, tokens))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await service.close()

    # Without tokens a page of any site could ask in the name of who visits it: hosts and origins are checked.
    guard = Middleware(Guard, hosts={*LOOPBACK, *settings.hosts}, token=None, limits=_NO_RATE)
    app = FastAPI(
        title="stylemap",
        version=stylemap.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(_Measured, metrics=front.metrics), *([guard] if tokens is None else [])],
        exception_handlers={
            HTTPException: _refused,
            RequestValidationError: _malformed,
            ImageError: _unreadable,
            Missing: _missing,
            ClientDisconnect: gone,
            Exception: _failed,
        },
    )
    app.state.front = front
    app.include_router(api.router)
    _describe(app.openapi(), tokens is not None)
    return app


def _describe(document: dict[str, Any], with_tokens: bool) -> None:
    """Add the bodies, which FastAPI does not read itself, and the token to the description."""
    parts = document["components"]
    template = "#/components/schemas/{model}"
    for kind in bodies.BODIES:
        schema = kind.model_json_schema(ref_template=template)
        parts["schemas"] |= schema.pop("$defs", {}) | {kind.__name__: schema}
    if with_tokens:
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        document["paths"]["/v1/health"]["get"]["security"] = []


class _Measured:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.at_work.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.at_work.dec()
            # The route, not the address: what is asked for must not make series without end.
            route = scope.get("route")
            endpoint = route.path if isinstance(route, APIRoute) else "other"
            self._metrics.requests.labels(endpoint, str(status)).inc()
            self._metrics.seconds.labels(endpoint).observe(time.perf_counter() - start)


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"allow": _methods(request.url.path)} if error.status_code == 405 else error.headers
    return _problem(error.status_code, error.detail, headers)


def _methods(path: str) -> str:
    """Those of all operations at an address, which may be several routes."""
    routes = [route for route in api.router.routes if isinstance(route, APIRoute)]
    return ", ".join(sorted({m for r in routes if r.path_regex.match(path) for m in r.methods or ()}))


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _problem(400, reason(error.errors()))


async def _unreadable(request: Request, error: Exception) -> Response:
    return _problem(415, str(error))


async def _missing(request: Request, error: Exception) -> Response:
    return _problem(404, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    # The reason is for the log of who runs the server, not for whoever asked.
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "the server could not do this")
