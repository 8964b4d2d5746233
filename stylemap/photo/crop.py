"""The square of a photo that a model sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_FAR = 1e12  # pixels: of any photo a crop can be asked for, and its corners are still exact


@dataclass(frozen=True)
class Crop:
    """A similarity transform from a square to a photo.

    centre: (x, y) in pixels of the photo, from its upper left corner. side: in pixels of the photo. angle: in
    degrees, clockwise on the screen; the upper edge of the square is horizontal at 0. The square may leave
    the photo.

    Raises:
        ValueError: a number that is not finite or far beyond any photo, or a side that is not positive.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        numbers = (*self.centre, self.side, self.angle)
        if len(numbers) != 4 or not all(abs(one) <= _FAR for one in numbers) or self.side <= 0:
            raise ValueError(
                f"a crop is a centre (x, y), a side above 0 and an angle in degrees; got {self.centre}, "
                f"{self.side}, {self.angle}"
            )

    @classmethod
    def middle(cls, size: tuple[int, int]) -> Crop:
        """The largest upright square in the middle of a photo of width and height ``size``."""
        width, height = size
        side = min(width, height)
        return cls(((width - side) // 2 + side / 2, (height - side) // 2 + side / 2), side)

    @classmethod
    def fraction(
        cls, size: tuple[int, int], centre: tuple[float, float], side: float, angle: float = 0.0
    ) -> Crop:
        """A crop in fractions of a photo: the centre of its width and height, the side of the shorter one."""
        width, height = size
        return cls((centre[0] * width, centre[1] * height), side * min(width, height), angle)

    @property
    def axes(self) -> np.ndarray:
        """float64 2 x 2: in its columns the unit vectors along the square's upper and left edge."""
        turn = math.radians(self.angle)
        return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])

    @property
    def corners(self) -> np.ndarray:
        """float64 4 x 2, in pixels of the photo: upper left, upper right, lower right, lower left."""
        return self.to_photo(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64))

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Points N x 2 of the square, in fractions of its side, to pixels of the photo."""
        moved: np.ndarray = np.asarray(self.centre) + (np.asarray(points) - 0.5) @ self.axes.T * self.side
        return moved

    def to_square(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_photo`."""
        moved: np.ndarray = (np.asarray(points) - self.centre) @ self.axes / self.side + 0.5
        return moved

    def bounds(self) -> tuple[float, float, float, float]:
        """The upright rectangle around the square: left, top, right, bottom in pixels of the photo."""
        corners = np.round(self.corners, 9)  # so that a whole number of pixels is one
        low, high = corners.min(0), corners.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def scaled(self, factor: float) -> Crop:
        """The same crop of the photo in another size."""
        return Crop((self.centre[0] * factor, self.centre[1] * factor), self.side * factor, self.angle)


def parse(text: str, size: tuple[int, int]) -> Crop:
    """A crop as written: cx,cy,side[,angle], where all of the first three are at most 1 in fractions.

    Fractions are those of `Crop.fraction` for a photo of width and height ``size``, else they are pixels.

    Raises:
        ValueError: another number of numbers, or numbers that make no crop.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (3, 4):
        raise ValueError(f"crop {text!r}: expected cx,cy,side or cx,cy,side,angle, as in 0.5,0.4,0.6")
    x, y, side = numbers[:3]
    angle = numbers[3] if len(numbers) == 4 else 0.0
    if max(x, y, side) <= 1:
        return Crop.fraction(size, (x, y), side, angle)
    return Crop((x, y), side, angle)
