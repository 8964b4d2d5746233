"""The HTTP interface: the same edits without the page. `openapi` describes it."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stylemap import images
from stylemap.editor import openapi, photos, protocol
from stylemap.editor.client import Client, Unavailable
from stylemap.editor.limits import Buckets
from stylemap.editor.photos import Crop
from stylemap.editor.protocol import MaskUpdate, ProtocolError, Stroke
from stylemap.editor.studio import Studio

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """Handlers over one studio."""

    def __init__(self, studio: Studio, openings: Buckets) -> None:
        self.studio, self.openings = studio, openings

    def routes(self) -> list[Route]:
        session = "/api/sessions/{session}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/api/model", self.model),
            ("GET", "/api/gallery", self.gallery),
            ("GET", "/api/images/{image}", self.picture),
            ("POST", "/api/sessions", self.open),
            ("DELETE", session, self.close),
            ("POST", f"{session}/images", self.upload),
            ("DELETE", session + "/images/{image}", self.remove_image),
            ("POST", f"{session}/random", self.random),
            ("GET", f"{session}/scene", self.scene),
            ("PUT", f"{session}/scene", self.set_scene),
            ("GET", session + "/masks/{mask:int}", self.mask),
            ("PUT", session + "/masks/{mask:int}", self.set_mask),
            ("POST", f"{session}/strokes", self.stroke),
            ("GET", f"{session}/result", self.result),
            ("GET", f"{session}/frames", self.frames),
            ("GET", "/openapi.json", self.openapi),
        ]
        return [Route(path, handler, methods=[method]) for method, path, handler in table]

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.document())

    async def model(self, request: Request) -> Response:
        return JSONResponse(self.studio.about())

    async def gallery(self, request: Request) -> Response:
        return JSONResponse([{"id": entry.id, "name": entry.name} for entry in self.studio.gallery.entries])

    async def picture(self, request: Request) -> Response:
        id, thumb = request.path_params["image"], request.query_params.get("thumb") == "1"
        try:
            image = await run_in_threadpool(self.studio.picture, id)
        except KeyError:
            raise HTTPException(404, "no such image") from None
        headers = {"cache-control": "private, no-cache", "etag": f'"{self.studio.instance}-{int(thumb)}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        if thumb:
            return Response(photos.thumbnail(image), media_type="image/jpeg", headers=headers)
        return Response(photos.png(image), media_type="image/png", headers=headers)

    async def open(self, request: Request) -> Response:
        if not self.openings.take(request.client.host if request.client else ""):
            raise HTTPException(429, "too many new sessions: wait a moment")
        client = self.studio.open_client()
        return JSONResponse({"session": client.id, "model": self.studio.about()}, 201)

    async def close(self, request: Request) -> Response:
        self.studio.clients.remove(self._client(request), "the session was closed")
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        client, studio = self._client(request), self.studio
        crop = Crop(*(_number(request, field.name, field.default) for field in dataclasses.fields(Crop)))
        client.require_room()
        data = await _body(request, studio.limits.upload_bytes)
        picture = await run_in_threadpool(photos.decode, data, studio.config.size, crop, studio.limits)
        name = request.query_params.get("name", "Upload")[:80]
        id = await self._job(client, studio.add_upload_steps(client, picture, name))
        return JSONResponse({"id": id, "name": name, "kind": "upload"}, 201)

    async def random(self, request: Request) -> Response:
        client = self._client(request)
        values = await self._json(request)
        seed, truncation = values.get("seed", 0), values.get("truncation", 0.7)
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ProtocolError("seed is a whole number below 2^32")
        if type(truncation) not in (int, float) or not 0 <= truncation <= 1:
            raise ProtocolError("truncation is a number from 0 to 1")
        client.require_room()
        id = await self._job(client, self.studio.add_random_steps(client, seed, float(truncation)))
        facts = client.images[id].facts
        return JSONResponse({"id": id, "name": client.images[id].name, "kind": "random", **facts}, 201)

    async def remove_image(self, request: Request) -> Response:
        client, id = self._client(request), request.path_params["image"]
        if id not in client.images:
            raise HTTPException(404, "no such image of this session")
        if id in client.scene.images:
            raise Unavailable("the image is in use")
        await self._job(client, self.studio.remove_image_steps(client, id))
        return Response(status_code=204)

    async def scene(self, request: Request) -> Response:
        return JSONResponse(self._client(request).scene.to_json())

    async def set_scene(self, request: Request) -> Response:
        client = self._client(request)
        client.set_scene(self.studio.parse_scene(client, await self._json(request)), 0, True)
        self.studio.renderer.wake()
        return Response(status_code=204)

    async def mask(self, request: Request) -> Response:
        pixels = self._client(request).mask(self._mask(request))
        return Response(photos.png(Image.fromarray(pixels)), media_type="image/png")

    async def set_mask(self, request: Request) -> Response:
        client, number, size = self._client(request), self._mask(request), self.studio.config.size
        data = await _body(request, self.studio.limits.upload_bytes)
        limit = self.studio.limits.upload_pixels
        grey = await run_in_threadpool(
            lambda: images.open_rgb(io.BytesIO(data), max_pixels=limit, name="the mask").convert("L")
        )
        if grey.size != (size, size):
            raise ProtocolError(f"a mask has {size}×{size} pixels, this one {grey.width}×{grey.height}")
        client.apply(MaskUpdate(number, 0, True, np.asarray(grey)))
        self.studio.renderer.wake()
        return Response(status_code=204)

    async def stroke(self, request: Request) -> Response:
        client, values = self._client(request), await self._json(request)
        self._require_mask(client, values.get("mask"))
        try:
            message = protocol.stroke(
                values["mask"],
                0,
                values["points"],
                values["radius"],
                values.get("hardness", 1.0),
                erase=values.get("erase", False) is True,
                final=True,
            )
        except (KeyError, TypeError, ValueError, OverflowError, protocol.struct.error):
            raise ProtocolError("a stroke has mask, points [[x, y], …], radius, hardness and erase") from None
        parsed = protocol.parse_binary(message, self.studio.config.size, self.studio.limits)
        assert isinstance(parsed, Stroke)
        client.apply(parsed)
        self.studio.renderer.wake()
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        client = self._client(request)
        return Response(await self._job(client, self.studio.result_steps(client)), media_type="image/png")

    async def frames(self, request: Request) -> Response:
        client, most = self._client(request), self.studio.limits.frames
        count, duration = int(_number(request, "count", 9)), int(_number(request, "duration", 80))
        kind = request.query_params.get("format", "gif")
        if not 2 <= count <= most or not 20 <= duration <= 1000 or kind not in ("gif", "strip"):
            raise ProtocolError(f"count is 2 to {most}, duration 20 to 1000 ms, format gif or strip")
        data = await self._job(client, self.studio.frames_steps(client, count, kind, duration))
        return Response(data, media_type="image/gif" if kind == "gif" else "image/png")

    def _client(self, request: Request) -> Client:
        client = self.studio.clients.get(request.path_params["session"])
        if client is None:
            raise HTTPException(404, "no such session: it was closed, or made room for another one")
        return client

    def _mask(self, request: Request) -> int:
        self._require_mask(self._client(request), request.path_params["mask"])
        return int(request.path_params["mask"])

    def _require_mask(self, client: Client, number: Any) -> None:
        if type(number) is not int or number not in client.scene.masks:
            raise HTTPException(404, "the scene has no such mask")

    async def _json(self, request: Request) -> dict[str, Any]:
        value = protocol.parse_json(await _body(request, self.studio.limits.text_bytes), self.studio.limits)
        if not isinstance(value, dict):
            raise ProtocolError("the body is a JSON object")
        return value

    async def _job(self, client: Client, steps: Any) -> Any:
        future = self.studio.renderer.submit(client, steps)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():  # with its session
                raise Unavailable("the session has ended") from None
            raise


async def _body(request: Request, limit: int) -> bytes:
    """The body, refused as soon as it exceeds the limit, whatever its headers say."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise HTTPException(413, f"the limit is {limit} bytes")
    return bytes(data)


def _number(request: Request, name: str, default: Any) -> float:
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ProtocolError(f"{name} is a number")
    return value
