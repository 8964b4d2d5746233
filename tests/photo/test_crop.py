"""Crops: by hand, by fraction, and how their pixels are sampled."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stylemap import images
from stylemap.photo import Crop, Photo, resample
from stylemap.photo.crop import parse

SIZE = (900, 700)
CROPS = [
    Crop((450, 350), 600),
    Crop((450, 350), 600, 20),
    Crop((430.3, 351.7), 371.3, -17),
    Crop((450, 350), 120.5, 33),
    Crop((450, 350), 2000, 10),
    Crop((220, 250), 500, -25),
    Crop((100, 350), 600),
    Crop((450, 350), 300, 90),
]


def _dot(x: float, y: float, deviation: float) -> Image.Image:
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    values = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * deviation**2))
    return Image.fromarray(np.repeat(np.round(values).astype(np.uint8)[..., None], 3, 2))


def _noise(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_the_square_and_the_photo_are_each_others_inverse(crop: Crop) -> None:
    points = np.random.default_rng(0).random((20, 2))
    assert np.allclose(crop.to_square(crop.to_photo(points)), points, atol=1e-12)
    assert np.allclose(crop.to_photo(np.array([[0.5, 0.5]])), [crop.centre])
    sides = np.linalg.norm(np.roll(crop.corners, -1, 0) - crop.corners, axis=1)
    assert np.allclose(sides, crop.side)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_a_dot_comes_to_lie_where_the_transform_says(crop: Crop, size: int) -> None:
    place = crop.to_photo(np.array([[0.47, 0.54]]))[0]
    deviation = max(4.0, 2 * crop.side / size)
    square = np.asarray(resample.cut(_dot(*place, deviation), crop, size)).astype(float)[..., 0]
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    expected = np.array([0.47, 0.54]) * size
    near = np.hypot(columns - expected[0], rows - expected[1]) < 4 * deviation * size / crop.side + 1
    weight = square * near
    found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    assert np.abs(found - expected).max() < 0.05


def test_the_middle_is_what_the_commands_cut() -> None:
    photo = _noise()
    square = resample.cut(photo, Crop.middle(photo.size), 128)
    assert square.tobytes() == images.fit_square(photo, 128).tobytes()


def test_the_pixels_of_a_crop_of_the_models_size_are_the_photos() -> None:
    photo = _noise()
    square = resample.cut(photo, Crop((300, 200), 128), 128)
    assert square.tobytes() == photo.crop((236, 136, 364, 264)).tobytes()


def test_stripes_finer_than_the_square_do_not_alias() -> None:
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    for angle in (0.0, 15.0, 45.0):
        square = np.asarray(resample.cut(Image.fromarray(stripes), Crop((600, 600), 800, angle), 100))
        assert np.abs(square.astype(float) - 127.5).max() < 4


def test_a_crop_that_leaves_the_photo_is_reflected_there() -> None:
    photo = _noise((200, 200), 1)
    square = np.asarray(resample.cut(photo, Crop((100, 40), 200), 200)).astype(float)
    whole = np.asarray(photo).astype(float)
    assert np.array_equal(square[60:], whole[:140])
    mirrored = whole[:60][::-1]
    assert np.abs(square[55:60] - mirrored[55:60]).mean() < 20  # next to the border hardly blurred
    rough = [np.abs(np.diff(rows, axis=1)).mean() for rows in (square[60:120], square[:30])]
    assert rough[1] < 0.35 * rough[0]  # far from it blurred


def test_reflection_reaches_as_far_as_needed() -> None:
    square = resample.cut(Image.new("RGB", (40, 30), (10, 200, 90)), Crop((20, 15), 200, 12), 64)
    assert np.asarray(square).reshape(-1, 3).tolist() == [[10, 200, 90]] * 64 * 64


@pytest.mark.parametrize("crop", CROPS[:5], ids=str)
def test_what_is_cut_and_spread_again_is_the_photo(crop: Crop) -> None:
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    smooth = 128 + 60 * np.sin(columns / 60) + 60 * np.cos(rows / 45)
    photo = Image.fromarray(np.repeat(np.round(smooth).astype(np.uint8)[..., None], 3, 2))
    square = np.asarray(resample.cut(photo, crop, 256)).astype(np.float32)
    box = resample.pixel_box(photo.size, crop)
    back = resample.spread(square, crop, box)
    columns, rows = np.meshgrid(np.arange(box[0], box[2]) + 0.5, np.arange(box[1], box[3]) + 0.5)
    place = crop.to_square(np.stack([columns.ravel(), rows.ravel()], 1))
    inside = ((place > 0.03) & (place < 0.97)).all(1).reshape(columns.shape)
    # At the photo's border the reflection has a kink, which a coarse square's kernels of 3 pixels round.
    kink = 2 * crop.side / 256
    inside &= (np.minimum(columns, SIZE[0] - columns) > kink) & (np.minimum(rows, SIZE[1] - rows) > kink)
    assert np.abs(back - np.asarray(photo.crop(box)))[inside].max() < 3
    outside = ((place < -0.02) | (place > 1.02)).any(1).reshape(columns.shape)
    assert not back[outside].any()


def test_by_fraction() -> None:
    assert Crop.fraction((400, 300), (0.5, 0.25), 0.5, 7) == Crop((200, 75), 150, 7)
    assert Crop.middle((400, 300)) == Crop((200, 150), 300)
    assert Crop((100, 50), 30, 7).scaled(2) == Crop((200, 100), 60, 7)


def test_as_written() -> None:
    assert parse("0.5,0.25,0.5", (400, 300)) == Crop((200, 75), 150)
    assert parse("210.5,120,64,-12", (400, 300)) == Crop((210.5, 120), 64, -12)
    assert parse("0.5,0.5,1,90", (400, 300)) == Crop((200, 150), 300, 90)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4,5", "a,b,c", "0.5,0.5,0", "0.5,0.5,-1", "nan,1,1"])
def test_no_crop(text: str) -> None:
    with pytest.raises(ValueError, match="crop"):
        parse(text, (400, 300))


@pytest.mark.parametrize("crop", [Crop((1000, 50), 100), Crop((-60, 50), 100), Crop((200, 150), 4000)])
def test_a_crop_without_the_photo(crop: Crop) -> None:
    with pytest.raises(ValueError, match="400 x 300"):
        Photo(Image.new("RGB", (400, 300))).cut(crop, 64)


@pytest.mark.parametrize("text", ["1e300,0,10", "0,-1e13,10", "0,0,1e300", "2,2,2,1e300", "nan,0,1"])
def test_numbers_beyond_any_photo_make_no_crop(text: str) -> None:
    with pytest.raises(ValueError, match="a crop is a centre") as error:
        parse(text, (32, 32))
    assert len(str(error.value)) < 200
