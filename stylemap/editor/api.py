"""The HTTP interface: the same edits without the page, described at /openapi.json."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query
from fastapi.routing import APIRoute
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stylemap import images
from stylemap.editor import photos, protocol, schemas, security
from stylemap.editor.about import About
from stylemap.editor.clients import Client, Unavailable
from stylemap.editor.models import Models
from stylemap.editor.parts import Parts
from stylemap.editor.protocol import MaskUpdate, ProtocolError, Stroke
from stylemap.editor.scene import Scene
from stylemap.editor.schemas import (
    Animation,
    Applied,
    FacePoints,
    GalleryPhoto,
    Opened,
    OwnPhoto,
    RandomPhoto,
    RandomSettings,
    Result,
    StrokeBody,
    Upload,
)
from stylemap.editor.studio import Studio


class Png(Response):
    media_type = "image/png"


class _LimitedRoute(APIRoute):
    """Bodies are refused as soon as they exceed the limit, whatever their headers say."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            limits = _models(request).first.limits
            limit = limits.text_bytes if self.body_field else limits.upload_bytes
            return await handle(security.bounded(request, limit))

        return limited


def _models(request: Request) -> Models:
    models: Models = request.app.state.models
    return models


async def _studio(
    request: Request,
    model: Annotated[str | None, Query(description="which model; the first where it is left out")] = None,
) -> Studio:
    try:
        return await _models(request).get(model)
    except KeyError:
        raise HTTPException(404, "no such model") from None
    except (ValueError, OSError) as error:
        raise Unavailable(f"this model cannot be opened: {error}") from error


def _session(request: Request, session: str) -> tuple[Studio, Client]:
    found = _models(request).session(session)
    if found is None:
        raise HTTPException(404, "no such session: it was closed, or made room for another one")
    return found


def _own_studio(found: Annotated[tuple[Studio, Client], Depends(_session)]) -> Studio:
    return found[0]


def _client(found: Annotated[tuple[Studio, Client], Depends(_session)]) -> Client:
    return found[1]


def _mask(mask: Annotated[int, Path(ge=0, lt=2**16)], client: AnyClient) -> int:
    if mask not in client.scene.masks:
        raise HTTPException(404, "the scene has no such mask")
    return mask


AnyStudio = Annotated[Studio, Depends(_studio)]
OwnStudio = Annotated[Studio, Depends(_own_studio)]
AnyClient = Annotated[Client, Depends(_client)]
AnyMask = Annotated[int, Depends(_mask)]
_FRAMES = {"gif": "image/gif", "mp4": "video/mp4", "webm": "video/webm", "strip": "image/png"}
SESSION = "/api/sessions/{session}"
MASK = SESSION + "/masks/{mask:int}"
router = APIRouter(
    route_class=_LimitedRoute,
    strict_content_type=False,
    # Not as "model": FastAPI would say that the reason is an image where the answer is one.
    responses={"default": schemas.PROBLEM},
)


@router.get("/api/model", summary="The model: size, stylemap, directions, limits")
async def model(studio: AnyStudio) -> About:
    return studio.about()


@router.get("/api/gallery", summary="Photos for everybody")
async def gallery(studio: AnyStudio) -> list[GalleryPhoto]:
    return [GalleryPhoto(id=entry.id, name=entry.name) for entry in studio.gallery.entries]


@router.get(
    "/api/images/{image}",
    summary="An image, square; a JPEG of at most 128×128 with thumb",
    response_class=Png,
    responses={200: schemas.file("image/png", "image/jpeg"), 304: {"description": "as the browser has it"}},
)
async def picture(request: Request, studio: AnyStudio, image: str, thumb: bool = False) -> Response:
    try:
        found = await run_in_threadpool(studio.picture, image)
    except KeyError:
        raise HTTPException(404, "no such image") from None
    headers = {"cache-control": "private, no-cache", "etag": f'"{studio.instance}-{int(thumb)}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if thumb:
        return Response(photos.thumbnail(found), media_type="image/jpeg", headers=headers)
    return Png(photos.png(found), headers=headers)


@router.get("/api/images/{image}/parts", summary="Where hair, eyes, mouth … of an image are")
async def parts(studio: AnyStudio, image: str) -> Parts:
    try:
        return await run_in_threadpool(studio.parts, image)
    except KeyError:
        raise HTTPException(404, "no such image") from None


@router.post("/api/sessions", status_code=201, summary="Open a session")
async def open_session(request: Request, studio: AnyStudio) -> Opened:
    if not studio.openings.take(request.client.host if request.client else ""):
        raise HTTPException(429, "too many new sessions: wait a moment")
    return Opened(session=studio.open_client().id, model=studio.about())


@router.delete(SESSION, status_code=204, summary="Close a session")
async def close_session(studio: OwnStudio, client: AnyClient) -> None:
    studio.clients.remove(client, "the session was closed")


@router.post(
    SESSION + "/images",
    status_code=201,
    summary="Upload a photo: JPEG, PNG or WebP, recognised by its content; cropped to a square",
    openapi_extra=schemas.takes("application/octet-stream"),
)
async def upload(
    request: Request, studio: OwnStudio, client: AnyClient, settings: Annotated[Upload, Query()]
) -> OwnPhoto:
    client.require_room()
    data = await request.body()
    size, limits, name = studio.config.size, studio.limits, settings.name[:80]
    studio.clients.require_bytes(client, len(data))
    picture, whole = await run_in_threadpool(photos.decode, data, size, settings, limits)
    id = await _job(studio, client, studio.add_upload_steps(client, picture, name, whole))
    return OwnPhoto(id=id, name=name, kind="upload", whole=whole is not None, **client.images[id].facts)


@router.post(
    SESSION + "/apply",
    summary="The edit as it stands on another photo, which is not kept",
    response_class=Png,
    responses={200: schemas.file("image/png", "image/jpeg", "image/webp")},
    openapi_extra=schemas.takes("application/octet-stream"),
)
async def apply(
    request: Request, studio: OwnStudio, client: AnyClient, wanted: Annotated[Applied, Query()]
) -> Response:
    data, limits, crop = await request.body(), studio.limits, photos.Crop(**wanted.model_dump())
    if wanted.find_face:
        found = await _face(data, studio)
        if found is None:
            raise Unavailable("no face was found")
        crop = found
    picture, whole = await run_in_threadpool(photos.decode, data, studio.config.size, crop, limits)
    before, after, mask = await _job(studio, client, studio.apply_steps(client, picture))
    if wanted.whole and whole is not None:
        done = await run_in_threadpool(
            photos.pasted, whole, before, after, mask, "difference", wanted.format, limits
        )
    else:
        done = await run_in_threadpool(photos.encoded, images.to_image(after), wanted.format)
    return Response(done, media_type=f"image/{wanted.format}")


@router.post(
    SESSION + "/face",
    summary="The crop of the largest face of a photo, null where none is found; nothing of it is kept",
    openapi_extra=schemas.takes("application/octet-stream"),
)
async def face(request: Request, studio: OwnStudio, client: AnyClient) -> photos.Crop | None:
    if not client.uploads.take():
        raise Unavailable("too many photos at once: wait a moment")
    return await _face(await request.body(), studio)


async def _face(data: bytes, studio: Studio) -> photos.Crop | None:
    if not studio.about().faces:
        raise Unavailable("faces are not looked for here: the server lacks stylemap[align]")
    return await run_in_threadpool(photos.face, data, studio.convention, studio.limits)


@router.post("/api/alignment", summary="The crop of a face by five points of it")
async def alignment(studio: AnyStudio, points: FacePoints) -> photos.Crop:
    return photos.aligned(points.points, (points.width, points.height), studio.convention)


@router.post(SESSION + "/random", status_code=201, summary="A random image")
async def random(studio: OwnStudio, client: AnyClient, settings: RandomSettings) -> RandomPhoto:
    client.require_room()
    steps = studio.add_random_steps(client, settings.seed, settings.truncation, settings.class_name)
    id = await _job(studio, client, steps)
    return RandomPhoto(id=id, name=client.images[id].name, kind="random", **client.images[id].facts)


@router.delete(SESSION + "/images/{image}", status_code=204, summary="Remove an uploaded or random image")
async def remove_image(studio: OwnStudio, client: AnyClient, image: str) -> None:
    if image not in client.images:
        raise HTTPException(404, "no such image of this session")
    if image in client.scene.images:
        raise Unavailable("the image is in use")
    await _job(studio, client, studio.remove_image_steps(client, image))


@router.get(SESSION + "/scene", summary="The edit as it is")
async def scene(client: AnyClient) -> Scene:
    return client.scene


@router.put(SESSION + "/scene", status_code=204, summary="Set the edit")
async def set_scene(studio: OwnStudio, client: AnyClient, scene: Scene) -> None:
    client.set_scene(studio.check(client, scene), 0, True)
    studio.scheduler.wake()


@router.get(MASK, summary="A mask of the edit", response_class=Png)
async def mask(client: AnyClient, mask: AnyMask) -> Response:
    return Png(photos.png(Image.fromarray(client.mask(mask))))


@router.put(
    MASK, status_code=204, summary="Set a mask, of the model's size", openapi_extra=schemas.takes("image/png")
)
async def set_mask(request: Request, studio: OwnStudio, client: AnyClient, mask: AnyMask) -> None:
    data, size, most = await request.body(), studio.config.size, studio.limits.upload_pixels
    grey = await run_in_threadpool(
        lambda: images.open_rgb(io.BytesIO(data), max_pixels=most, name="the mask").convert("L")
    )
    if grey.size != (size, size):
        raise ProtocolError(f"a mask has {size}×{size} pixels, this one {grey.width}×{grey.height}")
    client.apply(MaskUpdate(mask, 0, True, np.asarray(grey)))
    studio.scheduler.wake()


@router.post(SESSION + "/strokes", status_code=204, summary="Paint into a mask")
async def stroke(studio: OwnStudio, client: AnyClient, body: StrokeBody) -> None:
    _mask(body.mask, client)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        points = np.array(body.points, np.float32)
    stroke = Stroke(body.mask, 0, True, body.erase, body.radius, body.hardness, points)
    client.apply(protocol.checked(stroke, studio.config.size, studio.limits))
    studio.scheduler.wake()


@router.get(
    SESSION + "/result",
    summary="The edited image, alone or in the photo that it was cut from",
    response_class=Png,
    responses={200: schemas.file("image/png", "image/jpeg", "image/webp")},
)
async def result(studio: OwnStudio, client: AnyClient, wanted: Annotated[Result, Query()]) -> Response:
    kind = wanted.format
    if wanted.whole:
        photo, before, after, mask = await _job(studio, client, studio.whole_steps(client))
        data = await run_in_threadpool(
            photos.pasted, photo, before, after, mask, wanted.paste, kind, studio.limits
        )
    else:
        data = await _job(studio, client, studio.result_steps(client, kind))
    return Response(data, media_type=f"image/{kind}")


@router.get(
    SESSION + "/sheet", summary="The edit, its original, references and masks in one", response_class=Png
)
async def sheet(studio: OwnStudio, client: AnyClient) -> Response:
    return Png(await _job(studio, client, studio.sheet_steps(client)))


@router.get(
    SESSION + "/frames",
    summary="The edit fading in",
    response_class=Response,
    responses={200: schemas.file("image/gif", "image/png", "video/mp4", "video/webm")},
)
async def frames(studio: OwnStudio, client: AnyClient, wanted: Annotated[Animation, Query()]) -> Response:
    if wanted.count > studio.limits.frames:
        raise ProtocolError(f"count is at most {studio.limits.frames}")
    steps = studio.frames_steps(client, wanted.count, wanted.format, wanted.duration)
    return Response(await _job(studio, client, steps), media_type=_FRAMES[wanted.format])


def methods(path: str) -> str:
    """Those of all operations at this address, which may be several routes."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    return ", ".join(
        sorted({m for route in routes if route.path_regex.match(path) for m in route.methods or ()})
    )


async def _job(studio: Studio, client: Client, steps: Any) -> Any:
    future = studio.scheduler.submit(client, steps)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if future.cancelled():  # with its session
            raise Unavailable("the session has ended") from None
        raise
