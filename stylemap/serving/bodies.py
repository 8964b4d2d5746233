"""What requests hold: JSON, alone or as the field ``request`` of a form whose other fields are files.

An image or mask in the JSON is the SHA-256 of an upload, or the name of one of the form's files; a mask may
also be a shape.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StrictBool, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from stylemap.editor import security
from stylemap.editor.photos import Crop, Kind
from stylemap.editor.protocol import reason
from stylemap.editor.scene import MAX_STRENGTH, Code, Number, Seq, Shift, Strict
from stylemap.serving.settings import LIMITS, REQUEST_BYTES

_MAX_FILES = 2 * LIMITS.references + 64  # images, masks of references and of sliders
_HOW_IMAGE = "the SHA-256 of an upload (a photo, or a stylemap), or the name of a file of the form"
_HOW_MASK = (
    "the SHA-256 of an upload, or the name of a file of the form, of the model's size; "
    "or box:x0,y0,x1,y1 or ellipse:cx,cy,rx,ry in fractions"
)
Image = Annotated[str, Field(min_length=1, max_length=64, description=_HOW_IMAGE)]
MaskText = Annotated[str, Field(min_length=1, max_length=200, description=_HOW_MASK)]
Square = Annotated[Crop, Field(description="which square of it")]
Format = Annotated[Kind, Field(description="of the answer")]
Weight = Annotated[Number, Field(ge=-4, le=4)]


class EncodeBody(Strict):
    """A photo to encode."""

    image: Image
    crop: Square = Crop()
    format: Annotated[
        Literal["safetensors", "npy", "json"], Field(description="of the stylemap K×L×L, float32")
    ] = "safetensors"


class ReferenceBody(Strict):
    """A part of another photo: what its mask covers, moved right and down by whole or half pixels."""

    image: Image
    crop: Square = Crop()
    mask: MaskText
    shift: tuple[Shift, Shift] = (0.0, 0.0)
    opacity: Annotated[Number, Field(ge=0, le=1, description="0 leaves what lies below")] = 1.0


class SliderBody(Strict):
    """Of one direction: its strength, everywhere or where the mask is on."""

    strength: Annotated[Number, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH)]
    mask: MaskText | None = None


class MixBody(Strict):
    """Stylecodes, by their numbers from the coarsest, that are taken from another photo."""

    image: Image
    crop: Square = Crop()
    codes: Annotated[tuple[Code, ...], Field(max_length=64)]


class EditBody(Strict):
    """An original, the references that are laid over it in their order, sliders, mixing."""

    original: Image
    crop: Square = Crop()
    references: Annotated[tuple[ReferenceBody, ...], Field(max_length=LIMITS.references)] = ()
    sliders: Annotated[
        dict[str, SliderBody],
        Field(default_factory=dict, max_length=64, description="by names of directions, or amplify"),
    ]
    mix: MixBody | None = None
    weight: Annotated[Number, Field(ge=0, le=1, description="0 original, 1 full edit")] = 1.0
    weights: Annotated[
        tuple[Annotated[Number, Field(ge=0, le=1)], ...] | None,
        Field(min_length=1, max_length=LIMITS.frames, description="instead: images side by side"),
    ] = None
    once: Annotated[StrictBool, Field(description="no other request for this original will come")] = False
    format: Format = "png"


class InterpolateBody(Strict):
    """Between two photos: weight · a + (1 − weight) · b, the images of several weights side by side."""

    a: Image
    crop_a: Square = Crop()
    b: Image
    crop_b: Square = Crop()
    weights: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=LIMITS.frames)] = (0.5,)
    format: Format = "png"


class ManipulateBody(Strict):
    """A photo, moved along a direction of `/v1/model`."""

    image: Image
    crop: Square = Crop()
    direction: Annotated[str, Field(min_length=1, max_length=64)]
    strength: Annotated[
        Number, Field(ge=-100, le=100, description="1: as examples with and without differ")
    ] = 1.0
    mask: MaskText | None = None
    format: Format = "png"


class RandomBody(Strict):
    """A random image: mean + truncation · (w − mean)."""

    seed: Seq = 0
    truncation: Annotated[Number, Field(ge=0, le=1)] = 0.7
    class_name: Annotated[str, Field(max_length=200, description="of a class-conditional model")] | None = (
        None
    )
    format: Annotated[
        Literal["png", "jpeg", "webp", "safetensors", "npy", "json"],
        Field(description="a picture, or the stylemap K×L×L, float32"),
    ] = "png"


BODIES = (EncodeBody, EditBody, InterpolateBody, ManipulateBody, RandomBody)
Body = TypeVar("Body", EncodeBody, EditBody, InterpolateBody, ManipulateBody, RandomBody)


async def read(request: Request, kind: type[Body]) -> tuple[Body, dict[str, bytes]]:
    """The JSON of a request, and its files by name.

    Raises:
        HTTPException: 400 for what is malformed, 413 where it is too long, 415 for another content type.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content == "application/json":
        return _parsed(kind, await security.bounded(request, LIMITS.text_bytes).body()), {}
    if content != "multipart/form-data":
        raise HTTPException(415, "the content type is application/json or multipart/form-data")
    request = security.bounded(request, REQUEST_BYTES)
    # Starlette answers a malformed form with an HTTPException of status 400.
    async with request.form(
        max_files=_MAX_FILES, max_fields=1 + _MAX_FILES, max_part_size=LIMITS.text_bytes
    ) as form:
        text, files = "", {}
        for name, value in form.multi_items():
            if name in files or (name == "request" and text):
                raise HTTPException(400, f"the form has two fields {name[:80]!r}")
            if name == "request":
                text = value if isinstance(value, str) else (await value.read()).decode("utf-8", "replace")
            elif isinstance(value, UploadFile):
                files[name] = await value.read()
                if len(files[name]) > LIMITS.upload_bytes:
                    raise HTTPException(413, f"{name[:80]}: the limit is {LIMITS.upload_bytes} bytes")
            else:
                raise HTTPException(400, f"the field {name[:80]!r} is no file")
    if not text:
        raise HTTPException(400, "the form has no field 'request' with the JSON")
    return _parsed(kind, text.encode()), files


def _parsed(kind: type[Body], data: bytes) -> Body:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise HTTPException(400, reason(error.errors())) from None


def described(kind: type[Body]) -> dict[str, Any]:
    """The request's body in OpenAPI's words."""
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["request"],
        "properties": {"request": {"type": "string", "description": f"JSON, a {kind.__name__}"}},
        "additionalProperties": file,
    }
    ref = {"$ref": f"#/components/schemas/{kind.__name__}"}
    content = {"application/json": {"schema": ref}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
