"""An edited square back into its photo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylemap.photo import MODES, Crop, Photo
from stylemap.photo.paste import THRESHOLDS, weights

SIZE = 128
CROPS = [
    Crop((450, 350), 512),
    Crop((433.3, 352.1), 480, 20),
    Crop((450, 350), 512, -90),
    Crop((300, 200), 90, 10),
    Crop((80, 350), 512, 15),
]


def _photo(profile: bytes | None = None) -> Photo:
    noise = np.random.default_rng(0).integers(40, 216, (700, 900, 3), dtype=np.uint8)
    return Photo(Image.fromarray(noise), profile)


def _squares(levels: float, box: tuple[int, int, int, int] = (48, 80, 48, 80)) -> tuple[Tensor, Tensor]:
    """A flat square, and one that is brighter by so many of 255 levels in the rows and columns of a box."""
    before = torch.zeros(3, SIZE, SIZE)
    after = before.clone()
    after[:, box[0] : box[1], box[2] : box[3]] += levels / 127.5
    return before, after


def _place(photo: Photo, crop: Crop) -> np.ndarray:
    """Where the centres of the photo's pixels lie in the square, in its pixels: H x W x 2."""
    columns, rows = np.meshgrid(np.arange(photo.size[0]) + 0.5, np.arange(photo.size[1]) + 0.5)
    return crop.to_square(np.stack([columns.ravel(), rows.ravel()], 1)).reshape(*columns.shape, 2) * SIZE


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_outside_the_feathered_mask_the_photo_is_the_same(crop: Crop, mode: str) -> None:
    photo = _photo()
    result = np.asarray(photo.paste(crop, *_squares(60), mode=mode).pixels)
    place, original = _place(photo, crop), np.asarray(photo.pixels)
    # The feather is 8 pixels of the square wide, interpolation reads three more.
    far = (np.abs(place - 64) > 16 + 8 + 3).any(2)
    near = (np.abs(place - 64) < 15).all(2)
    assert near.any()
    assert np.array_equal(result[far], original[far])
    assert (result[near] != original[near]).any(1).mean() > 0.9


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_the_photos_detail_stays_under_the_difference(crop: Crop) -> None:
    photo = _photo()
    result = np.asarray(photo.paste(crop, *_squares(6)).pixels).astype(int)
    middle = (np.abs(_place(photo, crop) - 64) < 13).all(2)
    assert (result - np.asarray(photo.pixels))[middle].tolist() == [[6, 6, 6]] * int(middle.sum())


def test_where_the_edit_is_large_the_detail_goes() -> None:
    photo, crop = _photo(), CROPS[0]
    before, after = _squares(90)
    middle = (np.abs(_place(photo, crop) - 64) < 10).all(2)
    result = np.asarray(photo.paste(crop, before, after).pixels).astype(float)[middle]
    assert np.abs(result - (127.5 + 90)).max() <= 1


def test_replace_shows_the_square_itself() -> None:
    photo, crop = _photo(), CROPS[1]
    middle = (np.abs(_place(photo, crop) - 64) < 13).all(2)
    result = np.asarray(photo.paste(crop, *_squares(20), mode="replace").pixels).astype(float)[middle]
    assert np.abs(result - (127.5 + 20)).max() <= 1


def test_an_edit_that_changes_nothing_returns_the_photo() -> None:
    photo = _photo()
    before, after = _squares(0)
    assert photo.paste(CROPS[1], before, after + 1 / 127.5).pixels.tobytes() == photo.pixels.tobytes()


def test_the_mask_is_smooth() -> None:
    crop = CROPS[0]
    levels = [(square + 1) * 127.5 for square in _squares(60)]
    weight = weights(*levels, crop, (900, 700), THRESHOLDS["difference"])
    assert weight[48:80, 48:80].min() == 1
    across = weight[64]
    steps = (across[1:] - across[:-1]).abs()
    assert steps.max() < 0.3
    assert (across[39], across[88]) == (0, 0)
    assert 0 < across[44] < 1


@pytest.mark.parametrize("mode", MODES)
def test_at_a_border_of_the_crop_inside_the_photo_the_edit_fades(mode: str) -> None:
    photo, crop = _photo(), Crop((450, 350), 512)
    before, after = _squares(60, (0, 128, 0, 128))
    result = photo.paste(crop, before, after, mode=mode)
    place = _place(photo, crop)
    edge = ((place < 1) | (place > 127)).any(2)
    assert np.array_equal(np.asarray(result.pixels)[edge], np.asarray(photo.pixels)[edge])
    inner = ((place > 14) & (place < 114)).all(2)
    assert (np.asarray(result.pixels)[inner] != np.asarray(photo.pixels)[inner]).any(1).mean() > 0.9


def test_at_the_border_of_the_photo_it_does_not() -> None:
    photo = Photo(_photo().pixels.crop((0, 0, 512, 512)))
    before, after = _squares(6, (0, 128, 0, 128))
    changed = np.asarray(photo.paste(Crop.middle(photo.size), before, after).pixels).astype(int)
    assert (changed - np.asarray(photo.pixels)).tolist() == [[[6, 6, 6]] * 512] * 512


def test_of_a_masked_edit_what_lies_far_from_the_mask_does_not_return() -> None:
    photo, crop = _photo(), CROPS[0]
    before, after = _squares(60)
    after[:, 8:24, 60:76] += 0.3
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[56:72, 56:72] = True
    result = photo.paste(crop, before, after, mask=mask).pixels
    place = _place(photo, crop)
    far = ((place < 30) | (place > 98)).any(2)
    assert np.array_equal(np.asarray(result)[far], np.asarray(photo.pixels)[far])
    unmasked = photo.paste(crop, before, after).pixels
    assert (np.asarray(unmasked) != np.asarray(photo.pixels))[far].any()
    near = (np.abs(place - 64) < 12).all(2)
    assert np.array_equal(np.asarray(result)[near], np.asarray(unmasked)[near])


def test_an_edge_is_enlarged_without_steps() -> None:
    """Along a slanting edge the transition is everywhere about as wide."""
    photo = Photo(Image.new("RGB", (1024, 1024), (100, 100, 100)))
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    line = torch.from_numpy(np.clip(columns - 40 - 0.31 * rows + 0.5, 0, 1)).float()
    before = torch.zeros(3, SIZE, SIZE)
    result = np.asarray(photo.paste(Crop.middle(photo.size), before, before + line).pixels).astype(float)
    # Where each row crosses the middle of the step: on a straight line.
    part = result[300:700, :, 0]
    level = (part.min() + part.max()) / 2
    after = (part > level).argmax(1)
    left, right = part[np.arange(400), after - 1], part[np.arange(400), after]
    crossing = after - 1 + (level - left) / (right - left)
    fit = np.polyval(np.polyfit(np.arange(400), crossing, 1), np.arange(400))
    assert np.abs(crossing - fit).max() < 0.16 * 8


def test_values_stay_in_their_range() -> None:
    white = Photo(Image.new("RGB", (300, 300), (250, 250, 250)))
    result = np.asarray(white.paste(Crop.middle(white.size), *_squares(8)).pixels)
    assert result[150, 150].tolist() == [255, 255, 255]
    before, after = _squares(60)
    beyond = white.paste(Crop.middle(white.size), before * 5 + 3, after * 5 + 3)
    assert beyond.pixels.tobytes() == white.pixels.tobytes()  # both are white once they are limited


def test_wrong_arguments() -> None:
    photo, (before, after) = _photo(), _squares(9)
    with pytest.raises(ValueError, match=r"difference, replace.*'add'"):
        photo.paste(CROPS[0], before, after, mode="add")
    with pytest.raises(ValueError, match=r"\(3, 128, 128\) and \(3, 64, 64\)"):
        photo.paste(CROPS[0], before, after[:, :64, :64])
    with pytest.raises(ValueError, match="no pixel"):
        photo.paste(Crop((2000, 0), 100), before, after)
