"""Contact sheets: labelled pictures in rows, masks drawn over them, loss curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylemap.images import Colour, to_image

BACKGROUND: Colour = (250, 250, 248)
INK: Colour = (32, 33, 36)
FAINT: Colour = (112, 115, 120)
RULE: Colour = (222, 222, 218)
# Okabe and Ito's palette without black: colour-blind readers can distinguish the colours.
PALETTE: tuple[Colour, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
_MIN_TILE = 256
_MAX_TILE = 512
_MIN_WIDTH = 320


@dataclass(frozen=True)
class Tile:
    """A picture (3 x S x S tensor in [-1, 1], or an image) and the line under it."""

    picture: Tensor | Image.Image
    caption: str = ""


Row = Sequence[Tile | None]


def contact_sheet(
    rows: Sequence[Row],
    *,
    title: str = "",
    note: str = "",
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    tile: int | None = None,
) -> Image.Image:
    """Arrange tiles in rows.

    Args:
        rows: each a sequence of tiles; None leaves a gap. Rows may have different lengths.
        title: at the top. note: smaller text under it, wrapped.
        columns: one heading per column. labels: one name per row, at its left.
        tile: room for a picture in pixels, square; by default the largest picture's own side, where that is
            below 256 its smallest multiple that is not, and at most 512. Pictures are enlarged by whole
            numbers, each pixel a square, and are never blurred; they keep their aspect ratio.

    Raises:
        ValueError: no tile at all.
    """
    pictures = [[None if cell is None else _as_image(cell.picture) for cell in row] for row in rows]
    sides = [max(picture.size) for row in pictures for picture in row if picture is not None]
    if not sides:
        raise ValueError("a contact sheet needs at least one picture")
    side = tile or tile_side(max(sides))
    style = _Style(side)
    captioned = any(cell.caption for row in rows for cell in row if cell is not None)
    left = style.margin
    if any(labels):
        left += min(max(round(_width(label, style.body)) for label in labels), side) + style.gap
    count = max(len(row) for row in rows)
    width = max(left + count * (side + style.gap) - style.gap + style.margin, _MIN_WIDTH)
    note_lines = _wrap(note, style.small, width - 2 * style.margin)
    top = style.margin
    title_at, top = top, top + (style.line(style.head) if title else 0)
    note_at, top = top, top + len(note_lines) * style.line(style.small)
    top += style.gap // 2 if title or note_lines else 0
    columns_at, top = top, top + (style.line(style.body) if any(columns) else 0)
    pitch = side + style.gap + (style.line(style.small) if captioned else 0)

    sheet = Image.new("RGB", (width, top + len(rows) * pitch - style.gap + style.margin), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((style.margin, title_at), _fit(title, style.head, width - 2 * style.margin), INK, style.head)
    for index, line in enumerate(note_lines):
        draw.text((style.margin, note_at + index * style.line(style.small)), line, FAINT, style.small)
    for index, heading in enumerate(columns):
        at = (left + index * (side + style.gap) + side / 2, columns_at)
        draw.text(at, _fit(heading, style.body, side), INK, style.body, anchor="ma")
    for index, row in enumerate(rows):
        y = top + index * pitch
        if index < len(labels):
            text = _fit(labels[index], style.body, left - style.margin - style.gap)
            draw.text((style.margin, y + side / 2), text, INK, style.body, anchor="lm")
        for column, cell in enumerate(row):
            picture = pictures[index][column]
            if cell is not None and picture is not None:
                _place(sheet, picture, cell.caption, left + column * (side + style.gap), y, style)
    return sheet


def tile_side(side: int) -> int:
    """The room that a sheet gives pictures of this side: a multiple of it from 256 on, at most 512."""
    return min(side * max(1, -(-_MIN_TILE // side)), _MAX_TILE)


def overlay(
    picture: Tensor | Image.Image, masks: Sequence[Tensor], colours: Sequence[Colour] = PALETTE
) -> Image.Image:
    """A picture with masks (S x S, on where > 0.5) tinted and outlined, each in its colour.

    Raises:
        ValueError: a mask and a picture of different sizes.
    """
    image = _as_image(picture).convert("RGB")
    pixels = np.asarray(image).astype(np.float32)
    for index, mask in enumerate(masks):
        on = np.asarray((mask.reshape(mask.shape[-2:]) > 0.5).cpu())
        if on.shape != pixels.shape[:2]:
            raise ValueError(f"mask is {on.shape}, the picture {pixels.shape[:2]}")
        colour = np.array(colours[index % len(colours)], dtype=np.float32)
        pixels[on] = 0.6 * pixels[on] + 0.4 * colour
        pixels[_outline(on, max(1, len(on) // 128))] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def curve(values: Sequence[float], size: int, label: str = "loss") -> Image.Image:
    """A size x size plot of values over their index, on a logarithmic axis where all are positive."""
    return curves({label: values}, size)


def curves(series: Mapping[str, Sequence[float]], size: int) -> Image.Image:
    """The same of several lines on one axis, each in a colour of the palette, named above the plot."""
    scale = 4  # drawn larger and reduced, for smooth lines
    side = size * scale
    image = Image.new("RGB", (side, side), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    font = _font(max(10, size // 18) * scale)
    margin = round(_line(font) * 1.5)
    box = (margin / 2, margin + (len(series) - 1) * _line(font), side - margin / 2, side - margin)
    draw.line([(box[0], box[1]), (box[0], box[3]), (box[2], box[3])], RULE, scale)
    numbers = [np.asarray(values, dtype=np.float64) for values in series.values()]
    everything = np.concatenate(numbers)
    positive = everything.size > 0 and bool((everything > 0).all())
    heights = [np.log(values) if positive else values for values in numbers]
    low = min((float(line.min()) for line in heights if line.size), default=0.0)
    span = max((float(line.max()) for line in heights if line.size), default=1.0) - low or 1.0
    for index, (label, values, line) in enumerate(zip(series, numbers, heights)):
        colour = PALETTE[(index + 1) % len(PALETTE)]
        step = (box[2] - box[0]) / max(len(line) - 1, 1)
        points = [
            (box[0] + step * i, box[3] - (box[3] - box[1]) * (h - low) / span) for i, h in enumerate(line)
        ]
        if len(points) > 1:
            draw.line(points, colour, 2 * scale, joint="curve")
        if points:
            text = f"{label} {values[0]:.3g} to {values.min():.3g}"
            at = (side / 2, margin / 4 + index * _line(font))
            draw.text(at, text, INK if len(series) == 1 else colour, font, anchor="ma")
    if everything.size:
        steps = f"{max(map(len, numbers)) - 1} steps"
        draw.text((box[2], side - margin / 4), steps, FAINT, font, anchor="rs")
    return image.resize((size, size), Image.Resampling.LANCZOS)


class _Style:
    """Fonts and distances that go with a tile of ``side`` pixels."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.margin = max(16, side // 10)
        self.gap = max(8, side // 20)
        self.head = _font(min(max(17, side // 11), 34))
        self.body = _font(min(max(13, side // 16), 24))
        self.small = _font(min(max(12, side // 19), 20))

    def line(self, font: ImageFont.FreeTypeFont) -> int:
        return _line(font)


def _place(sheet: Image.Image, picture: Image.Image, caption: str, x: int, y: int, style: _Style) -> None:
    factor = style.side / max(picture.size)
    if factor > 1:
        factor = math.floor(factor)
    width, height = (max(1, round(length * factor)) for length in picture.size)
    if (width, height) != picture.size:
        method = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
        picture = picture.resize((width, height), method)
    at = (x + (style.side - width) // 2, y + (style.side - height) // 2)
    sheet.paste(picture, at)
    if caption:
        text = _fit(caption, style.small, style.side)
        draw = ImageDraw.Draw(sheet)
        draw.text((x + style.side / 2, y + style.side + style.gap / 3), text, FAINT, style.small, anchor="ma")


def _outline(on: np.ndarray[Any, Any], thickness: int) -> np.ndarray[Any, Any]:
    """The cells of the mask within ``thickness`` of a cell outside it."""
    inner = on.copy()
    for _ in range(thickness):
        padded = np.pad(inner, 1, constant_values=True)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: np.ndarray[Any, Any] = on & ~inner
    return edge


def _as_image(picture: Tensor | Image.Image) -> Image.Image:
    return to_image(picture) if isinstance(picture, Tensor) else picture


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.45)


def _width(text: str, font: ImageFont.FreeTypeFont) -> float:
    return font.getlength(text)


def _fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, its middle left out where it is wider than ``width``."""
    if _width(text, font) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        shorter = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if _width(shorter, font) <= width:
            return shorter
    return "…"


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", font) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


__all__ = [
    "BACKGROUND",
    "FAINT",
    "INK",
    "PALETTE",
    "RULE",
    "Row",
    "Tile",
    "contact_sheet",
    "curve",
    "curves",
    "overlay",
    "tile_side",
]


def __dir__() -> list[str]:
    return __all__
