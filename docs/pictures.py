"""Draws the documents' pictures of the bundled model again: python docs/pictures.py [FOLDER [OLDER_MODEL]]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import stylemap
from stylemap import assets, edit, images
from stylemap.data.faces import FacesDataset
from stylemap.metrics.evaluate import PARTS
from stylemap.metrics.pairing import pair_by_iou
from stylemap.model import StyleMapGAN
from stylemap.sheets import Row, Tile, contact_sheet

COLUMNS = 8
#: Which of a part's pairs: the most similar masks come first, and show least.
PAIRS = {"mouth": (20, 22), "eyes": (20, 23), "hair": (20, 23)}


def training(path: Path) -> None:
    """Losses over all iterations of the stages that train encoder and decoder."""
    text = (assets.FOLDER / "demo_log.jsonl").read_text()
    entries = [entry for entry in map(json.loads, text.splitlines()) if "x_rec" in entry]
    starts, total, last = [0], 0, 0
    for entry in entries:
        if entry["iteration"] <= last:
            total += last
            starts.append(total)
        last = entry["iteration"]
        entry["in all"] = total + last
    titles = {
        "x_rec": "squared error",
        "efficientnet": "EfficientNet features",
        "local_src": "local edits, outside",
        "local_ref": "local edits, inside",
    }
    figure = Figure(figsize=(12, 3), layout="constrained")
    for place, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 4, place + 1)
        found = [(entry["in all"], entry[name]) for entry in entries if name in entry]
        axes.plot(*zip(*found), linewidth=0.8)
        for start in starts[1:]:
            axes.axvline(start, color="0.85", linewidth=1, zorder=0)
        axes.set(title=title, xlabel="iteration", yscale="log", xlim=(0, total + last))
    figure.savefig(path, dpi=100)


def samples(model: StyleMapGAN, path: Path) -> None:
    """Samples with truncation 0.7; held-out faces and their reconstructions."""
    z = torch.randn(16, model.config.latent_channel_size, generator=torch.Generator().manual_seed(1))
    drawn = model.sample(z, truncation=0.7, mean_stylemap=model.mean_stylemap(samples=2048))
    faces = FacesDataset(128, COLUMNS, held_out=True).batch(range(COLUMNS))
    rows = [*drawn.split(COLUMNS), faces, model.decode(model.encode(faces))]
    save(rows, ["samples", "", "faces", "decoded"], path)


def edits(model: StyleMapGAN, path: Path) -> None:
    """Local edits of held-out faces: the part of the second row, the rest of the first."""
    faces = FacesDataset(128, 500, held_out=True)
    maps = faces.parts(range(500))
    columns = []
    for part, values in PARTS.items():
        masks = torch.isin(maps, torch.tensor([int(value) for value in values], dtype=maps.dtype))
        for a, b in pair_by_iou(masks)[slice(*PAIRS[part])]:
            original, reference = faces.batch([a]), faces.batch([b])
            mask = masks[a] | masks[b]
            edited = edit.local(model, model.encode(original), model.encode(reference), mask)
            shown = torch.where(mask, reference, 0.4 * reference + 0.6)
            columns.append(torch.cat([original, shown, edited]))
    save(list(torch.stack(columns, 1)), ["original", "part of", "edited"], path)


def before_and_after(old: StyleMapGAN, new: StyleMapGAN, path: Path) -> None:
    """Reconstructions, edits with the next face's hair, midpoints with it, and samples, of two models."""
    faces = FacesDataset(128, COLUMNS, held_out=True)
    photos, parts = faces.batch(range(COLUMNS)), faces.parts(range(COLUMNS))
    hair = torch.isin(parts, torch.tensor([int(value) for value in PARTS["hair"]], dtype=parts.dtype))
    masks = hair | hair.roll(-1, 0)
    z = torch.randn(COLUMNS, new.config.latent_channel_size, generator=torch.Generator().manual_seed(1))
    rows, labels = [photos], ["faces"]
    for what in ("decoded", "edited", "midpoints", "samples"):
        for model, when in ((old, "before"), (new, "after")):
            w = model.encode(photos)
            if what == "decoded":
                made = model.decode(w)
            elif what == "edited":
                made = edit.local(model, w, w.roll(-1, 0), masks[:, None])
            elif what == "midpoints":
                made = model.decode((w + w.roll(-1, 0)) / 2)
            else:
                made = model.sample(z, truncation=0.7, mean_stylemap=model.mean_stylemap(samples=2048))
            rows.append(made)
            labels.append(f"{what}, {when}")
    save(rows, labels, path)


def python_example(model: StyleMapGAN, path: Path) -> None:
    """What README's Python does: two faces, and the first with the mouth of the second."""
    faces = stylemap.demo_faces(5)[3:]
    session = stylemap.EditSession(model)
    original, other = (session.add(face) for face in faces)
    result = stylemap.to_pil(session.edit(original, session.reference(other, "ellipse:0.5,0.7,0.2,0.12")))
    images.save(contact_sheet([[Tile(one) for one in (*faces, result)]], tile=256), path)


def save(rows: list[Tensor], labels: list[str], path: Path) -> None:
    """Writes a contact sheet."""
    tiles: list[Row] = [[Tile(image) for image in row] for row in rows]
    images.save(contact_sheet(tiles, labels=labels), path)


def main(folder: Path, before: str = "") -> None:
    """Draws all; before and after only where an older model's file is named."""
    found = assets.demo_model()
    assert found is not None
    model = stylemap.load(found, dtype=torch.float32)
    with torch.no_grad():
        training(folder / "training.png")
        samples(model, folder / "samples.png")
        edits(model, folder / "edits.png")
        python_example(model, folder / "readme_python.png")
        if before:
            before_and_after(stylemap.load(before), model, folder / "before_after.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent), *sys.argv[2:3])
