"""The HTTP interface, described at /openapi.json."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query
from PIL import Image
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stylemap import images
from stylemap.editor import schemas, security
from stylemap.serving import bodies, metrics
from stylemap.serving.access import Access, Owner
from stylemap.serving.bodies import Body, EditBody, EncodeBody, InterpolateBody, ManipulateBody, RandomBody
from stylemap.serving.metrics import Metrics
from stylemap.serving.service import Busy, Gone, Service
from stylemap.serving.settings import LIMITS, Settings
from stylemap.serving.store import DIGEST, PhotoStore, is_stylemap
from stylemap.serving.work import (
    About,
    Answer,
    Edit,
    Encode,
    Interpolate,
    Manipulate,
    Mask,
    Part,
    Photo,
    Random,
    Slider,
    Task,
    Work,
)

CLIENT_GONE = 499
"""The status of a request whose client left: nobody reads it but the metrics."""

_HOUR = 3_600_000


class Front:
    """What the endpoints work with."""

    def __init__(self, settings: Settings, service: Service, store: PhotoStore, access: Access) -> None:
        self.settings, self.service, self.store, self.access = settings, service, store, access
        self.metrics = Metrics()


class Stored(BaseModel):
    """An upload. sha256: what requests name it by."""

    sha256: str
    bytes: int


class Health(BaseModel):
    """Whether a replica answers."""

    status: str
    model: str


def _front(request: Request) -> Front:
    front: Front = request.app.state.front
    return front


AnyFront = Annotated[Front, Depends(_front)]


async def _admitted(request: Request, front: AnyFront) -> AsyncIterator[Owner]:
    owner = front.access.owner(request.headers)
    front.metrics.by_owner.labels(owner.name).inc()
    with front.access.admitted(owner):
        yield owner


@dataclass(frozen=True)
class Wanted:
    """What every request may say. seconds: that it has. model: the id of the only one that may do it."""

    seconds: float
    model: str


async def _wanted(
    front: AnyFront,
    x_deadline_ms: Annotated[int, Header(ge=1, le=_HOUR, description="milliseconds to answer in")] = _HOUR,
    deadline_ms: Annotated[int, Query(ge=1, le=_HOUR, description="the same")] = _HOUR,
    x_model: Annotated[
        str, Header(max_length=64, description="id of the only model that may do it; 409 from another")
    ] = "",
) -> Wanted:
    """The time is the least of what it asks for and what the server gives."""
    return Wanted(min(front.settings.deadline, x_deadline_ms / 1000, deadline_ms / 1000), x_model)


AnyOwner = Annotated[Owner, Depends(_admitted)]
AnyWanted = Annotated[Wanted, Depends(_wanted)]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file's bytes")]
_IMAGES = ("image/png", "image/jpeg", "image/webp")
_PICTURE: dict[int | str, dict[str, Any]] = {200: schemas.file(*_IMAGES)}
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_AS_JSON = {
    "type": "object",
    "required": ["shape", "stylemap"],
    "properties": {"shape": _NUMBERS, "stylemap": _NUMBERS},
}
_MAP: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            **schemas.file("application/octet-stream")["content"],
            "application/json": {"schema": _AS_JSON},
        }
    }
}
router = APIRouter(strict_content_type=False, responses={"default": schemas.PROBLEM})


@router.get("/v1/health", summary="Whether a replica answers")
async def health(front: AnyFront) -> Health:
    """Asks one; no token is needed. 503 where none answers."""
    try:
        about = await asyncio.wait_for(front.service.about(), 5)
    except (Gone, TimeoutError) as error:
        raise HTTPException(503, str(error) or "no replica answers in time") from None
    return Health(status="ok", model=about.name)


@router.get("/v1/model", summary="The model: size, stylemap, directions")
async def model(front: AnyFront, owner: AnyOwner) -> About:
    """What requests need to know of it."""
    try:
        return await front.service.about()
    except Gone as error:
        raise HTTPException(503, str(error)) from None


@router.get(
    "/metrics",
    summary="Counts of this front, for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics_text(request: Request, front: AnyFront) -> Response:
    """Requests by endpoint and status, times, photos that were known or encoded."""
    front.access.owner(request.headers)
    return Response(front.metrics.text(), media_type=metrics.CONTENT_TYPE)


@router.post(
    "/v1/images",
    status_code=201,
    summary="Upload a photo or mask, JPEG, PNG or WebP, or a stylemap, safetensors: by its content",
    openapi_extra=schemas.takes("application/octet-stream"),
)
async def upload(request: Request, front: AnyFront, owner: AnyOwner) -> Stored:
    """Kept until other uploads need the room; the answer has the name that requests use."""
    data = await security.bounded(request, LIMITS.upload_bytes).body()
    return Stored(sha256=await _keep(front, owner, data, "the upload"), bytes=len(data))


@router.put(
    "/v1/images/{sha256}",
    status_code=201,
    summary="The same, by its name",
    openapi_extra=schemas.takes("application/octet-stream"),
)
async def upload_named(request: Request, front: AnyFront, owner: AnyOwner, sha256: Digest) -> Stored:
    """400 where the bytes have another SHA-256."""
    data = await security.bounded(request, LIMITS.upload_bytes).body()
    stored = Stored(sha256=await _keep(front, owner, data, "the upload"), bytes=len(data))
    if stored.sha256 != sha256:
        raise HTTPException(400, f"these bytes have the SHA-256 {stored.sha256}")
    return stored


@router.get("/v1/images/{sha256}", summary="Whether a photo is here")
async def image(front: AnyFront, owner: AnyOwner, sha256: Digest) -> Stored:
    """404 where it is not, or no more."""
    return Stored(sha256=sha256, bytes=front.store.size(owner.name, sha256))


@router.post(
    "/v1/encode",
    summary="The stylemap of a photo",
    openapi_extra=bodies.described(EncodeBody),
    response_class=Response,
    responses=_MAP,
)
async def encode(request: Request, front: AnyFront, owner: AnyOwner, wanted: AnyWanted) -> Response:
    """As a file: safetensors, .npy or JSON."""

    def work(body: EncodeBody, named: Named) -> Work:
        return Encode(named.photo("image", body.image, body.crop), body.format)

    return await _answered(request, front, owner, wanted, EncodeBody, work)


@router.post(
    "/v1/edit",
    summary="Parts of other photos in a photo, sliders, mixing: all that the editor does",
    openapi_extra=bodies.described(EditBody),
    response_class=Response,
    responses=_PICTURE,
)
async def edit(request: Request, front: AnyFront, owner: AnyOwner, wanted: AnyWanted) -> Response:
    """As `EditSession.edit`: the same pixels; with sliders and mixing, those of the editor."""

    def work(body: EditBody, named: Named) -> Work:
        parts = []
        for i, one in enumerate(body.references):
            photo = named.photo(f"references.{i}.image", one.image, one.crop)
            mask = named.mask(f"references.{i}.mask", one.mask)
            parts.append(Part(photo, mask, one.shift, one.opacity))
        sliders = [
            Slider(
                name,
                one.strength,
                None if one.mask is None else named.mask(f"sliders.{name}.mask", one.mask),
            )
            for name, one in body.sliders.items()
        ]
        mix = body.mix
        return Edit(
            named.photo("original", body.original, body.crop),
            tuple(parts),
            body.weights or (body.weight,),
            tuple(sliders),
            None if mix is None else (named.photo("mix.image", mix.image, mix.crop), mix.codes),
            body.once,
            body.format,
        )

    return await _answered(request, front, owner, wanted, EditBody, work)


@router.post(
    "/v1/interpolate",
    summary="Between two photos",
    openapi_extra=bodies.described(InterpolateBody),
    response_class=Response,
    responses=_PICTURE,
)
async def interpolate(request: Request, front: AnyFront, owner: AnyOwner, wanted: AnyWanted) -> Response:
    """As `EditSession.interpolate`; several weights give their images side by side."""

    def work(body: InterpolateBody, named: Named) -> Work:
        a, b = named.photo("a", body.a, body.crop_a), named.photo("b", body.b, body.crop_b)
        return Interpolate(a, b, tuple(body.weights), body.format)

    return await _answered(request, front, owner, wanted, InterpolateBody, work)


@router.post(
    "/v1/manipulate",
    summary="A photo along a direction",
    openapi_extra=bodies.described(ManipulateBody),
    response_class=Response,
    responses=_PICTURE,
)
async def manipulate(request: Request, front: AnyFront, owner: AnyOwner, wanted: AnyWanted) -> Response:
    """As `EditSession.manipulate`, with the length of the direction's own step times the strength."""

    def work(body: ManipulateBody, named: Named) -> Work:
        mask = None if body.mask is None else named.mask("mask", body.mask)
        photo = named.photo("image", body.image, body.crop)
        return Manipulate(photo, body.direction, body.strength, mask, body.format)

    return await _answered(request, front, owner, wanted, ManipulateBody, work)


@router.post(
    "/v1/random",
    summary="A random image",
    openapi_extra=bodies.described(RandomBody),
    response_class=Response,
    responses={200: {"content": _PICTURE[200]["content"] | _MAP[200]["content"]}},
)
async def random(request: Request, front: AnyFront, owner: AnyOwner, wanted: AnyWanted) -> Response:
    """As `stylemap sample`; as a stylemap it can be uploaded, and edited like a photo."""

    def work(body: RandomBody, named: Named) -> Work:
        return Random(body.seed, body.truncation, body.class_name, body.format)

    return await _answered(request, front, owner, wanted, RandomBody, work)


class Named:
    """The photos and masks of a request by the names that its JSON has for them."""

    def __init__(self, front: Front, owner: Owner, files: dict[str, bytes]) -> None:
        self._front, self._owner, self._files = front, owner, files
        self.kept: dict[str, str] = {}

    def photo(self, place: str, name: str, crop: Any) -> Photo:
        """A photo; one that comes along is kept, so that the next request need not bring it."""
        if name in self._files:
            if name not in self.kept:
                _check_photo(self._files[name], name)
                self.kept[name] = self._front.store.put(self._owner.name, self._files[name])
            return Photo(self._owner.name, self.kept[name], crop)
        return Photo(self._owner.name, _digest(place, name), crop)

    def mask(self, place: str, name: str) -> Mask:
        """A mask; one that comes along is not kept."""
        if name in self._files:
            return Mask(data=self._files[name])
        if ":" in name:
            return Mask(text=name)
        return Mask(owner=self._owner.name, digest=_digest(place, name))


def _digest(place: str, name: str) -> str:
    if not DIGEST.fullmatch(name):
        raise HTTPException(400, f"{place}: {name!r} is no SHA-256, and no file of the form has that name")
    return name


def _check_photo(data: bytes, name: str) -> None:
    """Raises ImageError for what is no photo and no stylemap, or has too many pixels; none is decoded."""
    if is_stylemap(data):  # its shape is looked at where the model is
        return
    with images.errors_named(name[:80], LIMITS.upload_pixels, "a JPEG, PNG or WebP"):
        picture = Image.open(io.BytesIO(data), formats=images.WEB_FORMATS)
        images.check_pixels(picture, name[:80], LIMITS.upload_pixels)


async def _keep(front: Front, owner: Owner, data: bytes, name: str) -> str:
    await run_in_threadpool(_check_photo, data, name)
    front.metrics.uploaded.inc(len(data))
    return await run_in_threadpool(front.store.put, owner.name, data)


async def _answered(
    request: Request,
    front: Front,
    owner: Owner,
    wanted: Wanted,
    kind: type[Body],
    work: Callable[[Body, Named], Work],
) -> Response:
    until = time.time() + wanted.seconds
    body, files = await bodies.read(request, kind)
    named = Named(front, owner, files)
    task = Task(await run_in_threadpool(work, body, named), until, wanted.model)
    answer = await _in_time(request, front.service, task)
    if answer.status != 200:
        raise HTTPException(answer.status, answer.error)
    front.metrics.photos.labels("known").inc(answer.known)
    front.metrics.photos.labels("encoded").inc(answer.encoded)
    headers = {"x-photos": f"known={answer.known}, encoded={answer.encoded}"}
    if named.kept:
        headers["x-images"] = json.dumps(named.kept)
    return Response(answer.data, media_type=answer.media_type, headers=headers)


async def _in_time(request: Request, service: Service, task: Task) -> Answer:
    """The answer, unless the deadline passes or the client leaves first: then the work is given up."""
    working = asyncio.ensure_future(service.answer(task))
    leaving = asyncio.ensure_future(_left(request))
    try:
        seconds = max(0.0, task.until - time.time())
        await asyncio.wait({working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            return Answer(CLIENT_GONE, error="the client left")
        return Answer(504, error="the deadline passed")
    except Busy as error:
        raise HTTPException(429, str(error), {"retry-after": str(error.seconds)}) from None
    except Gone as error:
        raise HTTPException(503, str(error), {"retry-after": "1"}) from None
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
