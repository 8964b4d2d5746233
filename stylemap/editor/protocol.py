"""What browser and server say to each other over the WebSocket; static/protocol.js is the other end.

Everything is little endian. The browser sends its scene as JSON text, whole, whenever it changes:

    {"type": "scene", "seq": 7, "final": true, "scene": {…}}        see `scene.Scene`

and masks and a camera's pictures as binary messages with a header of eight bytes:

    kind u8 · flags u8 · mask u16 · seq u32

    STROKE 1   radius f32 · hardness f32 · points (x f32 · y f32)…   a polyline over the mask's pixels,
                                                                     painted or (flag ERASE) erased: `brush`
    MASK 2     (count u16 · value u8)…                               the whole mask in runs, row by row;
                                                                     none: empty
    ACK 3      nothing; seq is the number of the frame that was shown
    CAMERA 4   JPEG, PNG or WebP of the model's size, or with        the picture behind `scene.CAMERA`; only
               the flag PIXELS its pixels (R u8 · G u8 · B u8)…      the newest one is kept

``seq`` numbers the browser's changes. FINAL marks the last of a gesture: what follows is the exact frame
instead of previews. The server answers with JSON text (``hello`` once, ``notice`` where something could not
be done; the first one has ``protocol``, the `VERSION` of this, and a browser that says another one with
``?protocol=`` is refused) and binary frames:

    FRAME 1    kind u8 · flags u8 · zero u16 · number u32 · seq u32 · render f32 · image

``seq`` is the last change that the frame shows, ``render`` its milliseconds of work, and the image a JPEG, or
a PNG with the flag EXACT. A browser that asks for it with ``?pixels=1`` gets small images as pixels in the
place of JPEGs, with the flag IN_PIXELS: on one machine they cost less than their files. Changes are never
queued: a frame shows the newest state when its turn comes. A message that breaks these rules closes the
connection with code 1008 and the reason; others do not notice.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictBool, ValidationError

from stylemap.editor.limits import Limits
from stylemap.editor.scene import Scene, Seq, Strict

#: 2 knows cameras, opacity of references and models to choose from; 3 pixels in the place of files.
VERSION = 3
STROKE, MASK, ACK, CAMERA = 1, 2, 3, 4
FRAME = 1
ERASE, FINAL, PIXELS = 1, 2, 4
EXACT, IN_PIXELS = 1, 2
PIXEL_BYTES = 3 * 128 * 128
"""Of an image that is sent as pixels, at most."""
REACH = 8  # how many sizes of the image a stroke may leave it by

_HEADER = struct.Struct("<BBHI")
_BRUSH = struct.Struct("<ff")
_FRAME = struct.Struct("<BBHIIf")
_RUN = np.dtype([("count", "<u2"), ("value", "u1")])


class ProtocolError(ValueError):
    """A message that breaks the rules; its text goes to the client as the reason."""


@dataclass(frozen=True)
class Stroke:
    """points: float32 P×2, (x, y) in pixels of the mask; radius in pixels; hardness in [0, 1]."""

    mask: int
    seq: int
    final: bool
    erase: bool
    radius: float
    hardness: float
    points: NDArray[np.float32]


@dataclass(frozen=True)
class MaskUpdate:
    """pixels: uint8 S×S, 0 to 255."""

    mask: int
    seq: int
    final: bool
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Ack:
    frame: int


@dataclass(frozen=True)
class CameraPicture:
    """data: a file, or its pixels, row by row; they are looked at when it is rendered."""

    seq: int
    data: bytes
    pixels: bool = False


class SceneUpdate(Strict):
    """The one message in JSON."""

    type: Literal["scene"]
    seq: Seq
    final: StrictBool = True
    scene: Scene


def reason(problems: Sequence[Any]) -> str:
    """The first of the problems that pydantic names, in one line: where it is, and what."""
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def parse_binary(data: bytes, size: int, limits: Limits) -> Stroke | MaskUpdate | Ack | CameraPicture:
    """A binary message to masks of side ``size``.

    Raises:
        ProtocolError: it is not one.
    """
    if len(data) < _HEADER.size:
        raise ProtocolError("a message has a header of 8 bytes")
    kind, flags, mask, seq = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if flags & ~(PIXELS if kind == CAMERA else ERASE | FINAL):
        raise ProtocolError("unknown flags")
    if kind == STROKE:
        return _stroke(body, mask, seq, flags, size, limits)
    if kind == MASK:
        return MaskUpdate(mask, seq, bool(flags & FINAL), decode_runs(body, size))
    if kind == ACK and not body:
        return Ack(seq)
    if kind == CAMERA and body:
        return CameraPicture(seq, bytes(body), bool(flags & PIXELS))
    raise ProtocolError("unknown kind of message")


def _stroke(body: memoryview, mask: int, seq: int, flags: int, size: int, limits: Limits) -> Stroke:
    count, rest = divmod(len(body) - _BRUSH.size, 8)
    if rest or count < 1:
        raise ProtocolError("a stroke has a brush and points of 8 bytes")
    radius, hardness = _BRUSH.unpack_from(body)
    points = np.frombuffer(body[_BRUSH.size :], "<f4").reshape(count, 2)
    stroke = Stroke(mask, seq, bool(flags & FINAL), bool(flags & ERASE), radius, hardness, points)
    return checked(stroke, size, limits)


def checked(stroke: Stroke, size: int, limits: Limits) -> Stroke:
    """The stroke, if masks of side ``size`` take it.

    Raises:
        ProtocolError: they do not.
    """
    if not 1 <= len(stroke.points) <= limits.points:
        raise ProtocolError(f"a stroke has 1 to {limits.points} points")
    radius, hardness = stroke.radius, stroke.hardness
    if not (math.isfinite(radius) and 0 < radius <= size and 0 <= hardness <= 1):
        raise ProtocolError("a brush has a radius within the image and a hardness from 0 to 1")
    # Strokes may leave the image, but not by so much that the line between two points means nothing.
    if not (np.isfinite(stroke.points).all() and (abs(stroke.points) <= REACH * size).all()):
        raise ProtocolError("a stroke leaves the image too far")
    return stroke


def decode_runs(body: bytes | memoryview, size: int) -> NDArray[np.uint8]:
    """Runs to uint8 size×size; no runs at all are an empty mask.

    Raises:
        ProtocolError: they are not of one mask of this size.
    """
    if len(body) == 0:
        return np.zeros((size, size), np.uint8)
    if len(body) % _RUN.itemsize or len(body) > _RUN.itemsize * size * size:
        raise ProtocolError("a mask is made of runs of 3 bytes")
    runs = np.frombuffer(body, _RUN)
    if int(runs["count"].sum(dtype=np.int64)) != size * size:
        raise ProtocolError(f"the runs of a mask cover {size}×{size} pixels")
    return np.repeat(runs["value"], runs["count"]).reshape(size, size)


def encode_runs(pixels: NDArray[np.uint8]) -> bytes:
    """uint8 S×S to runs; an empty mask to none."""
    flat = pixels.ravel()
    if not flat.any():
        return b""
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    runs: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), flat.size]):
        full, rest = divmod(end - start, 0xFFFF)
        runs += [(0xFFFF, int(flat[start]))] * full
        if rest:
            runs.append((rest, int(flat[start])))
    return np.array(runs, _RUN).tobytes()


def parse_text(text: str, limits: Limits) -> SceneUpdate:
    """A JSON message.

    Raises:
        ProtocolError: it is too long, not JSON, or not a scene message.
    """
    if len(text) > limits.text_bytes:
        raise ProtocolError(f"the text is longer than {limits.text_bytes} bytes")
    try:
        return SceneUpdate.model_validate_json(text)
    except ValidationError as error:
        raise ProtocolError(reason(error.errors(include_url=False))) from error


def frame(
    number: int, seq: int, render_ms: float, image: bytes, exact: bool, *, pixels: bool = False
) -> bytes:
    """A FRAME message."""
    flags = (EXACT if exact else 0) | (IN_PIXELS if pixels else 0)
    return _FRAME.pack(FRAME, flags, 0, number % 2**32, seq, render_ms) + image


def parse_frame(data: bytes) -> tuple[int, int, float, bytes, bool]:
    """Inverse of ``frame``, for clients in Python: number, seq, render_ms, image, exact."""
    kind, flags, _, number, seq, render_ms = _FRAME.unpack_from(data)
    if kind != FRAME:
        raise ProtocolError("not a frame")
    return number, seq, render_ms, data[_FRAME.size :], bool(flags & EXACT)


def stroke(
    mask: int,
    seq: int,
    points: NDArray[np.float32] | list[tuple[float, float]],
    radius: float,
    hardness: float = 1.0,
    *,
    erase: bool = False,
    final: bool = False,
) -> bytes:
    """A STROKE message, for clients in Python."""
    flags = (ERASE if erase else 0) | (FINAL if final else 0)
    body = np.asarray(points, "<f4").tobytes()
    return _HEADER.pack(STROKE, flags, mask, seq) + _BRUSH.pack(radius, hardness) + body


def mask_update(mask: int, seq: int, pixels: NDArray[np.uint8], final: bool = True) -> bytes:
    """A MASK message, for clients in Python."""
    return _HEADER.pack(MASK, FINAL if final else 0, mask, seq) + encode_runs(pixels)


def camera_picture(seq: int, data: bytes, *, pixels: bool = False) -> bytes:
    """A CAMERA message, for clients in Python."""
    return _HEADER.pack(CAMERA, PIXELS if pixels else 0, 0, seq) + data


def ack(number: int) -> bytes:
    """An ACK message, for clients in Python."""
    return _HEADER.pack(ACK, 0, 0, number % 2**32)
