"""Contact sheets, overlays and curves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap.sheets import BACKGROUND, PALETTE, Tile, contact_sheet, curve, overlay
from tests.helpers import tiny


def _contains(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(-1).sum())


def test_every_tile_is_there_at_its_size() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    tiles = [Tile(Image.new("RGB", (300, 300), colour), "caption") for colour in colours]
    sheet = contact_sheet([tiles[:2], [None, tiles[2]]], title="Title", note="A note.", labels=["one", "two"])
    assert [_contains(sheet, colour) for colour in colours] == [300 * 300] * 3
    border = np.asarray(sheet)[[0, -1]]
    assert (border == BACKGROUND).all()


@pytest.mark.parametrize(
    ("side", "shown"), [(8, 256), (32, 256), (128, 256), (160, 320), (256, 256), (1024, 512)]
)
def test_tiles_are_legible_at_any_size(side: int, shown: int) -> None:
    sheet = contact_sheet([[Tile(Image.new("RGB", (side, side), (255, 0, 0)))]])
    assert _contains(sheet, (255, 0, 0)) == shown**2


def test_enlarged_pixels_stay_squares() -> None:
    """Beside a picture of 256, one of 128 is doubled, one of 200 left alone: neither gets a new colour."""
    noise = [
        np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8) for side in (256, 128, 200)
    ]
    sheet = np.asarray(contact_sheet([[Tile(Image.fromarray(pixels)) for pixels in noise]]))
    whole, doubled, small = noise[0], noise[1].repeat(2, 0).repeat(2, 1), noise[2]
    for pixels in (whole, doubled, small):
        rows, columns = np.nonzero((sheet == pixels[0, 0]).all(-1))
        side = len(pixels)
        assert any((sheet[y : y + side, x : x + side] == pixels).all() for y, x in zip(rows, columns))


def test_the_aspect_ratio_is_kept() -> None:
    sheet = contact_sheet([[Tile(Image.new("RGB", (200, 100), (255, 0, 0)))]], tile=400)
    assert _contains(sheet, (255, 0, 0)) == 400 * 200


def test_texts_add_ink_and_room() -> None:
    tile = Tile(tiny.photos(1)[0])
    bare = contact_sheet([[tile, tile]])
    texts = {"title": "T", "note": "N", "columns": ["left", "right"], "labels": ["row"]}
    for name, value in texts.items():
        sheet = contact_sheet([[tile, tile]], **{name: value})
        assert sheet.width * sheet.height > bare.width * bare.height, name


def test_long_texts_do_not_leave_the_sheet() -> None:
    tile = Tile(tiny.photos(1)[0], "a caption much longer than the tile is wide " * 5)
    sheet = contact_sheet(
        [[tile]], title="long " * 100, note="words " * 200, columns=["c" * 300], labels=["l" * 300]
    )
    assert sheet.width < 800
    edge = np.asarray(sheet)[:, [0, 1, -2, -1]]
    assert (edge == BACKGROUND).all()


def test_a_sheet_needs_a_picture() -> None:
    for rows in ([], [[]], [[None]]):
        with pytest.raises(ValueError, match="at least one picture"):
            contact_sheet(rows)


def test_overlay_tints_inside_only_and_outlines() -> None:
    image = Image.new("RGB", (64, 64), (100, 100, 100))
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:40, 10:30] = True
    pixels = np.asarray(overlay(image, [mask]))
    assert (pixels[~mask.numpy()] == 100).all()
    assert pixels[20, 15].tolist() == list(PALETTE[0])
    assert pixels[30, 20].tolist() == [round(0.6 * 100 + 0.4 * c) for c in PALETTE[0]]
    assert (np.asarray(overlay(image, [mask[None].float()])) == pixels).all()
    with pytest.raises(ValueError, match=r"mask is \(32, 32\), the picture \(64, 64\)"):
        overlay(image, [torch.ones(32, 32)])


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [3.0, 1.0, 0.1], [1.0, 0.0, -1.0]])
def test_curves_of_any_values(values: list[float]) -> None:
    assert curve(values, 96).size == (96, 96)


def test_a_falling_curve_falls() -> None:
    image = np.asarray(curve([100 * 0.9**i for i in range(50)], 200)).astype(int)
    blue = np.abs(image - PALETTE[1]).sum(-1) < 60
    heights = [np.flatnonzero(blue[:, x]).mean() for x in (40, 100, 160)]
    assert heights == sorted(heights)
    assert heights[2] - heights[0] > 60
