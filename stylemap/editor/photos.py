"""Uploaded photos: checked, decoded in memory, turned and cropped to the model's square."""

from __future__ import annotations

import io
import math
import threading
from typing import Annotated

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from stylemap import images
from stylemap.editor.limits import Limits

THUMB = 128
_OVERSAMPLE = 4
_WHITE = (255, 255, 255)
# A decoded photo takes up to a hundred megabytes: one at a time.
_decoding = threading.Lock()


class Crop(BaseModel):
    """A square of a photo. What lies outside the photo is white."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cx: Annotated[float, Field(ge=-1, le=2, description="its centre, as a fraction of the width")] = 0.5
    cy: Annotated[float, Field(ge=-1, le=2, description="its centre, as a fraction of the height")] = 0.5
    side: Annotated[float, Field(ge=0.02, le=4, description="as a fraction of the shorter edge")] = 1.0
    angle: Annotated[float, Field(ge=-360, le=360, description="in degrees, clockwise")] = 0.0


def decode(data: bytes, size: int, crop: Crop, limits: Limits) -> Image.Image:
    """An upload as RGB of size×size. What it is follows from its content alone: JPEG, PNG or WebP.

    Raises:
        images.ImageError: something else, damaged, or with more pixels than the limit; they are counted
            before any is decoded.
    """
    with _decoding:
        photo = images.open_rgb(
            io.BytesIO(data), max_pixels=limits.upload_pixels, name="the upload", formats=images.WEB_FORMATS
        )
        return cut(photo, size, crop)


def cut(photo: Image.Image, size: int, crop: Crop) -> Image.Image:
    """The square of a photo as size×size."""
    if (crop.cx, crop.cy, crop.side, crop.angle) == (0.5, 0.5, 1.0, 0.0):
        return images.fit_square(photo, size)
    side = crop.side * min(photo.size)
    # The transform below samples points; shrinking beforehand, and sampling finer than wanted, keeps
    # fine patterns from aliasing.
    shrink = max(1, int(side / (_OVERSAMPLE * size)))
    if shrink > 1:
        photo = photo.reduce(shrink)
        side /= shrink
    fine = size * min(_OVERSAMPLE, max(1, math.ceil(side / size)))
    turn, step = math.radians(crop.angle), side / fine
    a, b = math.cos(turn) * step, -math.sin(turn) * step
    d, e = -b, a
    cx, cy = crop.cx * photo.width, crop.cy * photo.height
    matrix = (a, b, cx - (a + b) * fine / 2, d, e, cy - (d + e) * fine / 2)
    square = photo.transform(
        (fine, fine), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=_WHITE
    )
    return images.fit_square(square, size)


def png(image: Image.Image) -> bytes:
    """Lossless, quick rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()


def jpeg(image: Image.Image) -> bytes:
    """For frames that the next one replaces at once."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def thumbnail(image: Image.Image) -> bytes:
    """A JPEG of at most 128×128."""
    small = image if image.width <= THUMB else image.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return jpeg(small)
