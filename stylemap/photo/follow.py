"""A crop that follows a face through the frames of a video."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stylemap.photo import faces
from stylemap.photo.alignment import FFHQ, Convention, align
from stylemap.photo.crop import Crop
from stylemap.photo.landmarks import Landmarks
from stylemap.photo.photo import Photo

#: The landmarks of a frame, near those of the one before; raises NoFaceError where there are none.
Finder = Callable[[Photo, Landmarks | None], Landmarks]
_REST = 1.0  # Hz: changes of a crop at rest that are slower than this pass
_SPEED = 4.0  # Hz for every side a second: what a face in motion adds to that
_SPEED_CUTOFF = 1.0  # Hz, of the speed itself


class Follower:
    """Crops of frame after frame, smoothed: a face at rest has a crop at rest, one in motion keeps up.

    Centre, logarithm of the side, and angle go through one low-pass filter, whose cutoff grows with the speed
    (the "1 euro" filter: G. Casiez, N. Roussel, D. Vogel, CHI 2012). It looks at no later frame.

    Args:
        convention: how the face lies in the crop.
        find: what finds it; by default MTCNN, which needs the extra stylemap[align].

    Attributes:
        lost: frames without a face, which got the last crop, so far.
        count: frames so far.
    """

    def __init__(self, convention: Convention = FFHQ, find: Finder | None = None) -> None:
        self._convention, self._find = convention, find or faces.near
        self._before: Landmarks | None = None
        self._at = 0.0
        self._values: np.ndarray | None = None
        self._speed = np.zeros(4)
        self._side = 1.0
        self.lost = self.count = 0

    def crop(self, frame: Photo, at: float) -> Crop:
        """The crop of the next frame: the last one where no face is found, the middle before there was one.

        at: its time in seconds, after the last one's.
        """
        self.count += 1
        try:
            self._before = self._find(frame, self._before)
            self._take(align(self._before, self._convention), at)
        except faces.NoFaceError:
            self.lost += 1
            self._before = None
        return self._last() or Crop.middle(frame.size)

    def _take(self, crop: Crop, at: float) -> None:
        values = np.array([*crop.centre, math.log(crop.side), math.radians(crop.angle)])
        if self._values is None:
            self._values, self._at, self._side = values, at, crop.side
            return
        values[3] = self._values[3] + (values[3] - self._values[3] + math.pi) % (2 * math.pi) - math.pi
        step = max(at - self._at, 1e-3)
        self._at = at
        # In sides of the crop, so that a large face and a small one are alike.
        unit = np.array([self._side, self._side, 1.0, 1.0])
        speed = (values - self._values) / unit / step
        self._speed += _share(_SPEED_CUTOFF, step) * (speed - self._speed)
        cutoff = _REST + _SPEED * float(np.abs(self._speed).max())
        self._values = self._values + _share(cutoff, step) * (values - self._values)
        self._side = math.exp(self._values[2])

    def _last(self) -> Crop | None:
        if self._values is None:
            return None
        x, y, side, angle = (float(value) for value in self._values)
        return Crop((x, y), math.exp(side), math.degrees(angle))


def _share(cutoff: float, step: float) -> float:
    """Of the way to a new value that a low-pass filter of that cutoff in Hz goes in ``step`` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))
