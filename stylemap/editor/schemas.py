"""What the requests and answers of the HTTP interface hold, and what its description says about them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool

from stylemap.editor import photos, protocol
from stylemap.editor.about import About
from stylemap.editor.scene import Counted, MaskNumber, Number, Seq, Strict
from stylemap.editor.studio import Studio

Fraction = Annotated[Number, Field(ge=0, le=1)]
_FILE = {"type": "string", "format": "binary"}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
PROBLEM: dict[str, Any] = {
    "description": "the reason",
    "content": {"application/json": {"schema": _ERROR}},
}


def file(*types: str) -> dict[str, Any]:
    """OpenAPI's words for the bytes of a file of one of these types."""
    return {"content": {type: {"schema": _FILE} for type in types}}


def takes(type: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, **file(type)}}


class GalleryPhoto(BaseModel):
    id: str
    name: str


class OwnPhoto(GalleryPhoto):
    kind: Literal["upload", "random"]
    whole: Annotated[bool, Field(description="whether there is a photo around the square")] = False
    far: Annotated[bool, Field(description="whether the model decodes it badly: it is not aligned, say")] = (
        False
    )


class RandomPhoto(OwnPhoto):
    seed: int
    truncation: float
    class_name: str | None


class Opened(BaseModel):
    session: str
    model: About


class Upload(photos.Crop):
    name: Annotated[str, Field(description="for people")] = "Upload"


class RandomSettings(BaseModel):
    seed: Seq = 0
    truncation: Annotated[Number, Field(ge=0, le=1)] = 0.7
    class_name: Annotated[str | None, Field(description="of a class-conditional model")] = None


class StrokeBody(Strict):
    """A polyline in pixels of the mask."""

    mask: MaskNumber
    points: Annotated[list[tuple[Number, Number]], Field(min_length=1)]
    radius: Annotated[Number, Field(gt=0)]
    hardness: Annotated[Number, Field(ge=0, le=1)] = 1.0
    erase: StrictBool = False


class FacePoints(Strict):
    """Both eyes, the nose and the mouth's corners, in fractions of the photo's width and height."""

    width: Annotated[int, Field(ge=1, le=100_000), Counted]
    height: Annotated[int, Field(ge=1, le=100_000), Counted]
    points: Annotated[list[tuple[Fraction, Fraction]], Field(min_length=5, max_length=5)]


class Result(BaseModel):
    format: Annotated[photos.Kind, Field(description="of the file")] = "png"
    whole: Annotated[bool, Field(description="the photo that the original was cut from, with the edit")] = (
        False
    )
    paste: Annotated[
        photos.Paste, Field(description="add what the edit changed to the photo, or show the model's pixels")
    ] = "difference"


class Applied(photos.Crop):
    """The square of a photo that the edit is applied to."""

    find_face: Annotated[bool, Field(description="instead: the square around the largest face")] = False
    format: Annotated[photos.Kind, Field(description="of the answer")] = "png"
    whole: Annotated[bool, Field(description="the whole photo with the edit in it, not the square alone")] = (
        False
    )


class Animation(BaseModel):
    count: Annotated[int, Field(ge=2, description="frames")] = 9
    format: Annotated[
        Literal["gif", "mp4", "webm", "strip"], Field(description="strip: a PNG of all side by side")
    ] = "gif"
    duration: Annotated[int, Field(ge=20, le=1000, description="milliseconds per frame")] = 80


def describe_limits(document: dict[str, Any], studio: Studio) -> None:
    """Write what this server's model and limits allow into the description of the interface."""
    limits, size = studio.limits, studio.config.size
    schemas = document["components"]["schemas"]
    stroke, scene = schemas["StrokeBody"]["properties"], schemas["Scene"]["properties"]
    stroke["radius"]["maximum"] = size
    stroke["points"]["maxItems"] = limits.points
    for axis in stroke["points"]["items"]["prefixItems"]:
        axis.update(minimum=-protocol.REACH * size, maximum=protocol.REACH * size)
    scene["references"]["maxItems"] = limits.references
    scene["sliders"]["propertyNames"] = {"enum": studio.sliders}
    schemas["RandomSettings"]["properties"]["class_name"]["enum"] = [None, *studio.classes]
    codes = schemas["Mix"]["properties"]["codes"]
    codes["maxItems"] = len(studio.config.stylecode_shapes)
    codes["items"]["maximum"] = len(studio.config.stylecode_shapes) - 1
    parameters = document["paths"]["/api/sessions/{session}/frames"]["get"]["parameters"]
    count = next(parameter for parameter in parameters if parameter["name"] == "count")
    count["schema"]["maximum"] = limits.frames
