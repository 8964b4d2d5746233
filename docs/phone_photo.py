"""Draws a phone photo, edits it and writes both small beside this file: python docs/phone_photo.py [FOLDER]

FOLDER gets phone.jpg, of 4000 x 3000 pixels, other.jpg, the reference, and out.jpg, the edited photo.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from stylemap.cli import main as stylemap
from stylemap.data.faces import Part, render, sample_attributes
from stylemap.data.faces.dataset import HELD_OUT

SIZE = (4000, 3000)
SHOWN = (1000, 750)
FACE, REFERENCE = 23, 2  # held-out faces, which training has not seen
PLACE, SIDE, ANGLE = (1700, 2190), 2000, 12.0  # of the face's picture in the photo
MASK = "ellipse:0.5,0.735,0.17,0.09"


def draw(folder: Path) -> tuple[Path, Path]:
    """The photo and the reference."""
    portrait, outline = _face(FACE)
    turn = np.radians(ANGLE)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * portrait.width / SIDE
    origin = portrait.width / 2 - axes @ PLACE
    data = (*axes[0], origin[0], *axes[1], origin[1])
    photo = _scenery()
    turned = portrait.transform(SIZE, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    shape = outline.transform(SIZE, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    photo.paste(turned, (0, 0), shape)
    grain = np.random.default_rng(1).integers(-5, 6, (SIZE[1], SIZE[0], 1), dtype=np.int8)
    photo = Image.fromarray(np.clip(np.asarray(photo, dtype=np.int16) + grain, 0, 255).astype(np.uint8))
    folder.mkdir(parents=True, exist_ok=True)
    photo.save(folder / "phone.jpg", quality=92)
    _face(REFERENCE)[0].save(folder / "other.jpg", quality=95)
    return folder / "phone.jpg", folder / "other.jpg"


def _face(index: int) -> tuple[Image.Image, Image.Image]:
    """A face of 2048 x 2048 pixels, and where it is not background."""
    faces, parts = render(sample_attributes(0, np.array([HELD_OUT + index])), 2048)
    picture = Image.fromarray(faces[0].permute(1, 2, 0).numpy())
    shape = Image.fromarray(((parts[0] != Part.BACKGROUND).numpy() * 255).astype(np.uint8))
    return picture, shape.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(1.5))


def _scenery() -> Image.Image:
    """An evening with lights out of focus."""
    width, height = SHOWN
    x, y = np.arange(width)[None, :] / width, np.arange(height)[:, None] / height
    planes = [70 + 120 * y * y + 0 * x, 90 + 60 * y - 20 * x, 140 - 20 * y - 30 * x]
    values = np.stack(planes, 2).astype(np.float32)
    random = np.random.default_rng(4)
    for _ in range(26):
        cx, cy, radius = random.uniform(0, 1), random.uniform(0, 0.75), random.uniform(15, 48)
        distance = np.hypot((x - cx) * width, (y - cy) * height)
        light = np.clip((radius - distance) / 3, 0, 1)[..., None]
        colour = np.array([(250, 200, 120), (240, 150, 90), (160, 190, 230)][random.integers(3)])
        values += light * (colour - values) * random.uniform(0.15, 0.4)
    small = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return small.resize(SIZE, Image.Resampling.BICUBIC)


def main(folder: Path) -> None:
    """Draw, edit, and write both photos small."""
    photo, reference = draw(folder)
    result = folder / "out.jpg"
    arguments = ["--original", photo, "--align", "--reference", reference, "--mask", MASK, "--output", result]
    if stylemap(["edit", *map(str, arguments), "--overwrite"]):
        raise SystemExit(1)
    for source, name in ((photo, "photo_before.jpg"), (result, "photo_after.jpg")):
        small = Image.open(source).resize(SHOWN, Image.Resampling.LANCZOS, reducing_gap=3.0)
        small.save(Path(__file__).with_name(name), quality=85)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
