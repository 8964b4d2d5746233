"""Faces as files: images, masks, labels and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from stylemap import images
from stylemap.data.faces.dataset import FacesDataset
from stylemap.data.faces.labels import BINARY, NAMES
from stylemap.data.faces.parts import Part
from stylemap.files import make_folder, write_whole

# Colours of the parts in mask files, whose pixels are the part numbers themselves.
PART_COLOURS = (
    (38, 42, 54), (244, 196, 160), (214, 154, 120), (232, 120, 110), (112, 72, 50), (60, 40, 30),
    (70, 140, 220), (236, 168, 60), (204, 40, 70), (150, 110, 60), (20, 200, 190), (140, 90, 200),
    (90, 150, 80), (250, 230, 60),
)  # fmt: skip
_CHUNK = 64


def write_faces(
    dataset: FacesDataset,
    output: Path,
    *,
    masks: bool = True,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Writes ``output``/00000.png …, masks/00000.png …, labels.csv, masks/parts.json and sheet/faces.png.

    Masks are palette images whose pixel values are :class:`Part` numbers. Returns the contact sheet's path.
    """
    make_folder(output)
    if masks:
        (output / "masks").mkdir(exist_ok=True)
        names = {part.name.lower(): int(part) for part in Part}
        _write_text(output / "masks" / "parts.json", json.dumps(names, indent=2) + "\n")
    for start in progress(range(0, len(dataset), _CHUNK)):
        rows = range(start, min(start + _CHUNK, len(dataset)))
        pictures, parts = dataset.raw_with_parts(rows)
        for row, picture, part in zip(rows, pictures, parts, strict=True):
            images.save(_picture(picture), output / f"{row:05d}.png")
            if masks:
                images.save(mask_image(part), output / "masks" / f"{row:05d}.png")
    _write_text(output / "labels.csv", _labels_csv(dataset))
    sheet = output / "sheet" / "faces.png"
    images.save(contact_sheet(dataset), sheet)
    return sheet


def contact_sheet(dataset: FacesDataset, columns: int = 8, rows: int = 8) -> Image.Image:
    """The first faces side by side, without gaps."""
    shown = min(len(dataset), columns * rows)
    columns = min(columns, shown)
    pictures, _ = dataset.raw_with_parts(range(shown))
    size = dataset.size
    sheet = Image.new("RGB", (columns * size, -(-shown // columns) * size), (255, 255, 255))
    for i, picture in enumerate(pictures):
        sheet.paste(_picture(picture), (i % columns * size, i // columns * size))
    return sheet


def mask_image(parts: Tensor) -> Image.Image:
    """A part map H×W as a palette image."""
    height, width = parts.shape
    image = Image.frombytes("P", (width, height), parts.contiguous().numpy().tobytes())
    image.putpalette([value for colour in PART_COLOURS for value in colour])
    return image


def _picture(image: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))


def _labels_csv(dataset: FacesDataset) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *NAMES])
    if len(dataset):
        for row, values in enumerate(dataset.labels(range(len(dataset))).tolist()):
            binary = [int(value) for value in values[: len(BINARY)]]
            writer.writerow([f"{row:05d}.png", *binary, *(f"{value:.5g}" for value in values[len(BINARY) :])])
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with write_whole(path) as file:
        file.write(text.encode())
