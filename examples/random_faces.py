"""Faces that nobody has, and one turning into another: python examples/random_faces.py [FOLDER]"""

import sys
from pathlib import Path

import torch

import stylemap
from stylemap import edit, sheets


def main(folder: Path) -> None:
    """Writes samples.png and turning.gif."""
    model = stylemap.load()
    with torch.no_grad():
        samples = edit.sample(model, 16, seed=3, truncation=0.7)
        w = model.map(edit.latents(model, 2, seed=3))
        between = edit.interpolate(model, w[:1], w[1:], torch.linspace(1, 0, 24))
    rows = [[sheets.Tile(sample) for sample in row] for row in samples.split(4)]
    sheets.contact_sheet(rows, title="16 samples, truncation 0.7").save(folder / "samples.png")
    frames = [stylemap.to_pil(frame) for frame in between]
    frames[0].save(folder / "turning.gif", save_all=True, append_images=frames[1:], duration=60, loop=0)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
