"""What a request asks of a model, and the answer: both travel between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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
    """A reference of an edit. opacity: 0 leaves what lies below, 1 covers it."""

    photo: Photo
    mask: Mask
    shift: tuple[float, float] = (0, 0)
    opacity: float = 1.0


@dataclass(frozen=True)
class Slider:
    """A direction: its strength, everywhere or where the mask is on."""

    name: str
    strength: float
    mask: Mask | None = None


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
    """References, sliders and mixing, with each of some weights: one image of all of them side by side.

    mix: the photo that stylecodes are taken from, and which. once: no other request for the photo will come.
    """

    photo: Photo
    parts: Sequence[Part] = ()
    weights: Sequence[float] = (1.0,)
    sliders: Sequence[Slider] = ()
    mix: tuple[Photo, Sequence[int]] | None = None
    once: bool = False
    format: Kind = "png"

    @property
    def photos(self) -> Sequence[Photo]:
        """All of them, the one that the request follows first."""
        other = [] if self.mix is None else [self.mix[0]]
        return [self.photo, *(part.photo for part in self.parts), *other]

    @property
    def masks(self) -> Sequence[Mask]:
        """All of them."""
        local = [slider.mask for slider in self.sliders if slider.mask is not None]
        return [*(part.mask for part in self.parts), *local]


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

    @property
    def masks(self) -> Sequence[Mask]:
        """All of them."""
        return [] if self.mask is None else [self.mask]


@dataclass(frozen=True)
class Random:
    """A random image: mean + truncation · (w − mean), as a picture or as a file of its stylemap."""

    seed: int
    truncation: float
    class_name: str | None = None
    format: str = "safetensors"

    @property
    def photos(self) -> Sequence[Photo]:
        """None."""
        return []


Work: TypeAlias = Encode | Edit | Interpolate | Manipulate | Random


@dataclass(frozen=True)
class Task:
    """Work, and the time (`time.time`) after which nobody waits for it. model: the id of the only one that
    may do it; "" for any."""

    work: Work
    until: float
    model: str = ""


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
    """A model, for clients.

    id: tells it from every other. stylemap: K×L×L. codes: sides of its stylecodes. directions: what photos
    can be moved along. classes: of a class-conditional one. config: its configuration. alignment: how faces
    are aligned for it; "" where its images were cut from the middle. error: mean squared error of its
    reconstructions, where it was measured.
    """

    id: str
    name: str
    size: int
    stylemap: tuple[int, ...]
    codes: tuple[int, ...]
    directions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    alignment: str = ""
    error: float | None = None
