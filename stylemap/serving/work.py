"""What a request asks of a model, and the answer: both travel between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from stylemap.editor.photos import Crop, Kind

WHOLE = Crop()


@dataclass(frozen=True)
class Photo:
    """A square of an upload. owner, digest: where the store has its bytes."""

    owner: str
    digest: str
    crop: Crop = WHOLE

    @property
    def name(self) -> str:
        """What requests for this square are routed by."""
        return f"{self.owner}/{self.digest}/{self.crop.cx},{self.crop.cy},{self.crop.side},{self.crop.angle}"


@dataclass(frozen=True)
class Mask:
    """A mask: a shape as a text, the bytes of a file, or the digest of an upload."""

    text: str = ""
    data: bytes = b""
    owner: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Part:
    """A reference of an edit."""

    photo: Photo
    mask: Mask
    shift: tuple[float, float] = (0, 0)


@dataclass(frozen=True)
class Encode:
    """The stylemap of a photo, as a file: "safetensors", "npy" or "json"."""

    photo: Photo
    format: str = "safetensors"

    @property
    def photos(self) -> Sequence[Photo]:
        """All of them, the one that the request follows first."""
        return [self.photo]


@dataclass(frozen=True)
class Edit:
    """A local edit."""

    photo: Photo
    parts: Sequence[Part] = ()
    weight: float = 1.0
    format: Kind = "png"

    @property
    def photos(self) -> Sequence[Photo]:
        """All of them, the one that the request follows first."""
        return [self.photo, *(part.photo for part in self.parts)]


@dataclass(frozen=True)
class Interpolate:
    """weight · a + (1 − weight) · b, side by side for several weights."""

    photo: Photo
    other: Photo
    weights: Sequence[float] = (0.5,)
    format: Kind = "png"

    @property
    def photos(self) -> Sequence[Photo]:
        """All of them, the one that the request follows first."""
        return [self.photo, self.other]


@dataclass(frozen=True)
class Manipulate:
    """A photo moved along a direction. strength: 1 is a step of it."""

    photo: Photo
    direction: str
    strength: float = 1.0
    mask: Mask | None = None
    format: Kind = "png"

    @property
    def photos(self) -> Sequence[Photo]:
        """All of them, the one that the request follows first."""
        return [self.photo]


Work: TypeAlias = Encode | Edit | Interpolate | Manipulate


@dataclass(frozen=True)
class Task:
    """Work, and the time (`time.time`) after which nobody waits for it."""

    work: Work
    until: float


@dataclass(frozen=True)
class Answer:
    """A file, or why there is none: a status of HTTP and a line.

    known: how many photos of the request the replica had at hand. encoded: how many it had to encode.
    """

    status: int = 200
    data: bytes = b""
    media_type: str = ""
    error: str = ""
    known: int = 0
    encoded: int = 0


@dataclass(frozen=True)
class About:
    """A model, for clients. stylemap: K×L×L. directions: what photos can be moved along."""

    name: str
    size: int
    stylemap: tuple[int, ...]
    directions: tuple[str, ...] = ()
    classes: tuple[str, ...] = field(default=())
