"""Five points of a face: what alignment needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

Point = tuple[float, float]
NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")


@dataclass(frozen=True)
class Landmarks:
    """The middles of both eyes, the tip of the nose and the corners of the mouth, as (x, y) in pixels.

    x goes right and y down from the upper left corner of the photo, so that the centre of its first pixel is
    (0.5, 0.5). "left" and "right" are the picture's where the face is upright. Points of a pair that come the
    other way round are exchanged: a mouth lies below the eyes only in one of the two orders.

    Raises:
        ValueError: a coordinate that is not finite, or points that span no face.
    """

    left_eye: Point
    right_eye: Point
    nose: Point
    left_mouth: Point
    right_mouth: Point

    def __post_init__(self) -> None:
        points = self.points
        if not bool(np.isfinite(points).all()):
            raise ValueError(f"landmarks must be finite numbers, got {_shown(points)}")
        across, down = self._axes()
        if _cross(across, down) < 0:
            self._exchange("left_eye", "right_eye")
            across = -across
        if float(across @ (points[4] - points[3])) < 0:
            self._exchange("left_mouth", "right_mouth")
        width, height = math.hypot(*across), math.hypot(*down)
        if abs(_cross(across, down)) < 0.05 * width * height or min(width, height) < 1e-6:
            raise ValueError(
                f"landmarks must be two eyes, a nose and two mouth corners, got {_shown(points)}"
            )

    @classmethod
    def of(cls, points: Sequence[Sequence[float]] | np.ndarray) -> Landmarks:
        """Five points in the order of the fields.

        Raises:
            ValueError: another number of points or coordinates, or points that span no face.
        """
        array = np.asarray(points, dtype=np.float64)
        if array.shape != (5, 2):
            raise ValueError(
                f"landmarks are five points x,y ({', '.join(NAMES)}), got an array {array.shape}"
            )
        return cls(*((float(x), float(y)) for x, y in array))

    @property
    def points(self) -> np.ndarray:
        """float64 5 x 2, in the order of the fields."""
        return np.array(astuple(self), dtype=np.float64)

    @property
    def eyes(self) -> np.ndarray:
        """float64 2: the point between the eyes."""
        middle: np.ndarray = self.points[:2].mean(0)
        return middle

    @property
    def mouth(self) -> np.ndarray:
        """float64 2: the middle of the mouth's corners."""
        middle: np.ndarray = self.points[3:].mean(0)
        return middle

    def moved(self, x: float, y: float, scale: float = 1.0) -> Landmarks:
        """The landmarks where the photo is scaled and then moved right by ``x`` and down by ``y`` pixels."""
        return Landmarks.of(self.points * scale + (x, y))

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        """From the left eye to the right one, and from the eyes to the mouth."""
        points = self.points
        return points[1] - points[0], self.mouth - self.eyes

    def _exchange(self, one: str, other: str) -> None:
        first, second = getattr(self, one), getattr(self, other)
        object.__setattr__(self, one, second)
        object.__setattr__(self, other, first)


def parse(texts: Sequence[str]) -> Landmarks:
    """Landmarks as five texts "x,y".

    Raises:
        ValueError: not five, or one that is no point.
    """
    if len(texts) != 5:
        raise ValueError(f"landmarks are five points x,y ({', '.join(NAMES)}), got {len(texts)}")
    return Landmarks.of([_point(text) for text in texts])


def _point(text: str) -> Point:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected a landmark x,y in pixels, as in 512,384; got {text!r}") from None
    return x, y


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


def _shown(points: np.ndarray) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
