"""Uploaded photos: checked, decoded in memory, turned and cropped to the model's square."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from stylemap import images
from stylemap.editor.limits import Limits
from stylemap.editor.protocol import ProtocolError
from stylemap.photo import FFHQ, Convention, Landmarks, Photo, align, faces
from stylemap.photo import crop as crops

Kind = Literal["png", "jpeg", "webp"]
Paste = Literal["difference", "replace"]
THUMB = 128
_QUALITY = {"jpeg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 95}}
# A decoded photo takes up to a hundred megabytes: one at a time.
_decoding = threading.Lock()


class Crop(BaseModel):
    """A square of a photo. What lies outside the photo is its reflection."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cx: Annotated[float, Field(ge=0, le=1, description="its centre, as a fraction of the width")] = 0.5
    cy: Annotated[float, Field(ge=0, le=1, description="its centre, as a fraction of the height")] = 0.5
    side: Annotated[float, Field(ge=0.02, le=4, description="as a fraction of the shorter edge")] = 1.0
    angle: Annotated[float, Field(ge=-360, le=360, description="in degrees, clockwise")] = 0.0

    def of(self, size: tuple[int, int]) -> crops.Crop:
        """This crop of a photo of that width and height."""
        if self.is_middle:
            return crops.Crop.middle(size)
        return crops.Crop.fraction(size, (self.cx, self.cy), self.side, self.angle)

    @property
    def is_middle(self) -> bool:
        """Whether it is the largest square in the middle."""
        return (self.cx, self.cy, self.side, self.angle) == (0.5, 0.5, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class WholePhoto:
    """An upload as it came, and the crop of it that is edited."""

    data: bytes
    crop: Crop


def decode(data: bytes, size: int, crop: Crop, limits: Limits) -> tuple[Image.Image, WholePhoto | None]:
    """The square of an upload as sRGB of size×size, and the photo where it is more than that square.

    What it is follows from its content alone: JPEG, PNG or WebP.

    Raises:
        images.ImageError: something else, damaged, or with more pixels than the limit; they are counted
            before any is decoded.
    """
    with _decoding:
        photo = _opened(data, limits)
        square = photo.picture(crop.of(photo.size), size)
        is_square = photo.size == (size, size) and crop.is_middle
        return square, None if is_square else WholePhoto(data, crop)


def camera_picture(data: bytes, size: int, *, pixels: bool = False) -> Image.Image:
    """A picture of a camera, which is of the model's size already.

    pixels: they are the data, three bytes each.

    Raises:
        images.ImageError: something else.
    """
    if pixels:
        if len(data) != 3 * size * size:
            raise images.ImageError(f"the camera's picture: {size}×{size} pixels are wanted")
        return Image.frombytes("RGB", (size, size), data)
    picture = images.open_rgb(
        io.BytesIO(data), max_pixels=size * size, name="the camera's picture", formats=images.WEB_FORMATS
    )
    if picture.size != (size, size):
        raise images.ImageError(f"the camera's picture: {size}×{size} pixels are wanted")
    return picture


def aligned(
    points: Sequence[tuple[float, float]], size: tuple[int, int], convention: Convention | None
) -> Crop:
    """The crop of a face whose five points are these, in fractions of the width and height of its photo.

    Raises:
        ProtocolError: they span no face.
    """
    try:
        found = align(Landmarks.of(np.array(points) * size), convention or FFHQ)
    except ValueError as error:
        raise ProtocolError(str(error)) from None
    clip = (float(np.clip(found.centre[axis] / size[axis], 0, 1)) for axis in (0, 1))
    cx, cy = clip
    side = float(np.clip(found.side / min(size), 0.02, 4))
    return Crop(cx=cx, cy=cy, side=side, angle=(found.angle + 180) % 360 - 180)


def face(data: bytes, convention: Convention | None, limits: Limits) -> Crop | None:
    """The crop of the largest face of an upload; None where none is found. Errors as those of `decode`."""
    with _decoding:
        photo = _opened(data, limits)
        try:
            found = faces.landmarks(photo)
        except faces.NoFaceError:
            return None
        points = [(float(x), float(y)) for x, y in found.points / photo.size]
        return aligned(points, photo.size, convention)


def pasted(
    whole: WholePhoto,
    before: Tensor,
    after: Tensor,
    mask: Tensor | None,
    mode: Paste,
    kind: Kind,
    limits: Limits,
) -> bytes:
    """The file of a photo with an edit in it, with its EXIF data, ICC profile and resolution.

    before, after: the square 3×S×S in [-1, 1] without and with the edit. mask: S×S, where it was asked for.
    """
    with _decoding:
        photo = _opened(whole.data, limits)
        result = photo.paste(whole.crop.of(photo.size), before, after, mode=mode, mask=mask)
        buffer = io.BytesIO()
        result.write(buffer, kind.upper())
        return buffer.getvalue()


def _opened(data: bytes, limits: Limits) -> Photo:
    return Photo.open(
        io.BytesIO(data), max_pixels=limits.upload_pixels, name="the upload", formats=images.WEB_FORMATS
    )


def encoded(image: Image.Image, kind: Kind) -> bytes:
    """A picture as a file of that kind."""
    if kind == "png":
        return png(image)
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **_QUALITY[kind])
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """Lossless, quick rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()


def frame(image: Image.Image, *, exact: bool) -> bytes:
    """The file of a frame."""
    return png(image) if exact else jpeg(image)


def jpeg(image: Image.Image) -> bytes:
    """For frames that the next one replaces at once."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def thumbnail(image: Image.Image) -> bytes:
    """A JPEG of at most 128×128."""
    small = image if image.width <= THUMB else image.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return jpeg(small)
