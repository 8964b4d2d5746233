"""One face, less and more of an attribute: python examples/move_along_a_direction.py [NAME [FOLDER]]"""

import sys
from pathlib import Path

import torch

import stylemap
from stylemap import edit, sheets

STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def main(name: str, folder: Path) -> None:
    """Writes NAME.png, a row of pictures."""
    model = stylemap.load()
    direction = edit.find_direction(name, model.config.stylemap_shape)  # or "FILE:NAME"
    (face,) = stylemap.demo_faces(1)
    with torch.no_grad():
        w = model.encode(face)
        moved = edit.manipulate(w, direction.vector, [direction.step * step for step in STEPS])
        pictures = model.decode(moved)
    row = [sheets.Tile(picture, f"{step:+g}") for picture, step in zip(pictures, STEPS, strict=True)]
    sheets.contact_sheet([row], title=name).save(folder / f"{name.replace(' ', '_')}.png")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "smile", Path(given[1] if len(given) > 1 else "."))
