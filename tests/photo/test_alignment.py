"""Landmarks, and the crop that a convention makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stylemap.data.faces import Part, render, sample_attributes
from stylemap.data.faces.landmarks import landmarks
from stylemap.photo import DRAWN, FFHQ, Landmarks, Photo, align
from stylemap.photo.landmarks import parse
from tests.helpers import needs, scenes

native = needs.when(scenes.can_draw(), "drawing needs the native library")
PLAIN = [(-1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (-0.8, 2.0), (0.8, 2.0)]


def _turned(degrees: float, scale: float = 1.0, at: tuple[float, float] = (0, 0)) -> Landmarks:
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return Landmarks.of(np.array(PLAIN) @ matrix * scale + at)


def test_the_published_formula_by_hand() -> None:
    # |x'| = 2, |y'| = 2: the centre is a tenth of the way to the mouth, the side max(4 * 2, 3.6 * 2).
    crop = align(_turned(0), FFHQ)
    assert np.allclose((*crop.centre, crop.side, crop.angle), (0, 0.2, 8, 0))
    long = Landmarks.of([(-1, 0), (1, 0), (0, 1), (-1, 3), (1, 3)])
    assert np.allclose((align(long, FFHQ).side, align(long, FFHQ).centre[1]), (3.6 * 3, 0.3))


@pytest.mark.parametrize("degrees", [-170, -90, -20, 0, 20, 90, 179])
def test_a_crop_turns_with_the_face(degrees: float) -> None:
    crop = align(_turned(degrees, 100, (500, 400)), FFHQ)
    assert crop.side == pytest.approx(800)
    assert (crop.angle - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    # Seen in the crop, the landmarks are those of the upright face.
    seen = crop.to_square(_turned(degrees, 100, (500, 400)).points)
    assert np.allclose(seen, align(_turned(0), FFHQ).to_square(_turned(0).points))


def test_the_angle_is_between_that_of_the_eyes_and_that_of_the_nose_line() -> None:
    skewed = np.array(PLAIN)
    skewed[3:] += (0.4, 0)  # the mouth to one side
    assert align(Landmarks.of(skewed)).angle == pytest.approx(np.degrees(-np.arctan2(0.4, 4)))


def test_points_of_a_pair_in_either_order() -> None:
    for degrees in (0, 100, -150):
        upright = _turned(degrees)
        swapped = upright.points[[1, 0, 2, 4, 3]]
        assert np.allclose(Landmarks.of(swapped).points, upright.points)


@pytest.mark.parametrize(
    "points",
    [
        PLAIN[:4],
        [(0, 0)] * 5,
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)],
        [(float("nan"), 0), *PLAIN[1:]],
    ],
)
def test_no_face(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        Landmarks.of(points)


def test_as_written() -> None:
    texts = ["10,20", "30,20.5", "20,30", "12,40", "28,40"]
    assert parse(texts).right_eye == (30, 20.5)
    with pytest.raises(ValueError, match="five points"):
        parse(texts[:4])
    with pytest.raises(ValueError, match="'30;20'"):
        parse([texts[0], "30;20", *texts[2:]])


@native
def test_landmarks_of_drawn_faces_are_where_they_are_drawn() -> None:
    size = 512
    faces = sample_attributes(3, range(24)).replace(tilt=np.zeros(24), gaze_x=np.zeros(24))
    faces.glasses_style[:] = faces.hat_style[:] = faces.beard_style[:] = 0
    parts = render(faces, size)[1].numpy()
    for five, part in zip(landmarks(faces) * size, parts):
        rows, columns = np.nonzero(part == Part.MOUTH)
        # The lips end in the corners; of the last two pixels they cover less than half.
        assert abs(columns.min() - five[3, 0]) < 3
        assert abs(columns.max() + 1 - five[4, 0]) < 3
        assert rows.min() - 2 < five[3, 1] < rows.max() + 3
        rows, columns = np.nonzero(part == Part.NOSE)
        assert abs((columns.min() + columns.max() + 1) / 2 - five[2, 0]) < 2
        assert five[2, 1] < rows.max() + 1 < five[2, 1] + 0.03 * size
        for eye, side in ((five[0], columns_left(part, five)), (five[1], ~columns_left(part, five))):
            rows, columns = np.nonzero((part == Part.EYES) & side)
            # Lashes make the outer end longer, the upper lid the upper half higher.
            assert np.abs(np.array([columns.mean(), rows.mean()]) - eye).max() < 0.02 * size


def columns_left(part: np.ndarray, five: np.ndarray) -> np.ndarray:
    """Left of the nose."""
    return np.broadcast_to(np.arange(part.shape[1])[None, :] < five[2, 0], part.shape)


@native
@pytest.mark.parametrize("angle", [-20.0, 0.0, 20.0])
def test_eyes_of_a_drawn_face_land_within_half_a_pixel(angle: float) -> None:
    for index in range(4):
        scene, known = scenes.scene(index, size=(1600, 1200), side=500, angle=angle)
        crop = align(known, FFHQ)
        pixels = np.asarray(scene).copy()
        pixels[:] = 0
        columns, rows = np.meshgrid(np.arange(1600) + 0.5, np.arange(1200) + 0.5)
        for x, y in known.points[:2]:
            pixels[np.hypot(columns - x, rows - y) < 8] = 255
        square = np.asarray(Photo(Image.fromarray(pixels)).picture(crop, 256)).astype(float)[..., 0]
        # By the formula: the eyes lie on both sides of the middle, their line above it.
        eyes = np.linalg.norm(known.points[1] - known.points[0])
        down = known.mouth - known.eyes
        side = max(4 * eyes, 3.6 * np.linalg.norm(down))
        found = []
        for half in (slice(0, 128), slice(128, 256)):
            values = square[:, half]
            place = np.arange(half.start, half.stop) + 0.5
            found.append(
                (
                    (values.sum(0) * place).sum() / values.sum(),
                    (values.sum(1) * (np.arange(256) + 0.5)).sum() / values.sum(),
                )
            )
        middle = np.mean(found, 0)
        assert np.hypot(*np.subtract(found[1], found[0])) == pytest.approx(256 * eyes / side, abs=0.5)
        # The way from the middle between the eyes to the crop's centre is a tenth of that to the mouth.
        assert np.hypot(*(middle - 128)) == pytest.approx(25.6 * np.linalg.norm(down) / side, abs=0.5)
        assert middle[1] < 128
        assert np.abs(np.array(found) - crop.to_square(known.points[:2]) * 256).max() < 0.5


def test_the_convention_of_drawn_faces_is_that_of_their_average() -> None:
    points = landmarks(sample_attributes(0, range(20000)))
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    apart = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    down = np.linalg.norm(mouth - eyes, axis=1)
    fitted = np.linalg.lstsq(np.stack([apart, down], 1), np.ones(20000), rcond=None)[0]
    assert np.allclose(fitted, (DRAWN.side(1, 0), DRAWN.side(0, 1)), atol=2e-3)
    drop = ((0.5 - eyes) * (mouth - eyes)).sum(1) / down**2
    assert drop.mean() == pytest.approx(DRAWN.drop, abs=1e-3)
    sides = np.array([align(Landmarks.of(five), DRAWN).side for five in points[:200]])
    assert sides.mean() == pytest.approx(1, abs=0.02)
