"""The bundled model: what the documentation says of it is what was measured, and it still does that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import stylemap
from stylemap import assets, edit
from stylemap.data.faces import FacesDataset
from stylemap.edit import masks
from stylemap.metrics.directions import attribute_labels
from stylemap.model import StyleMapGAN

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model() -> StyleMapGAN:
    path = assets.demo_model()
    assert path is not None
    assert path.stat().st_size < 20 << 20
    return stylemap.load(path, dtype=torch.float32)


def _metrics() -> dict[str, float]:
    values: dict[str, float] = json.loads((assets.FOLDER / "demo_metrics.json").read_text())["values"]
    return values


def test_reconstruction_of_held_out_faces(model: StyleMapGAN) -> None:
    faces = FacesDataset(128, 24, held_out=True).batch(range(24))
    with torch.no_grad():
        error = float((model.decode(model.encode(faces)) - faces).square().mean())
    assert error == pytest.approx(_metrics()["reconstruction mse"], rel=0.25)
    assert error < 0.01


def test_directions_move_the_attribute(model: StyleMapGAN) -> None:
    """Moved faces are encoded again: their scores are on the other side."""
    path = assets.demo_directions()
    assert path is not None
    faces = FacesDataset(128, 48, held_out=True)
    directions = edit.load_directions(path, model.config.stylemap_shape)
    labels = faces.labels(range(48))
    for name, least in (("glasses", 0.9), ("blond hair", 0.9)):
        one = directions[name]
        without = [i for i, has in enumerate(attribute_labels(labels, name).tolist()) if has == 0][:8]
        with torch.no_grad():
            w = model.encode(faces.batch(without))
            again = model.encode(model.decode(edit.manipulate(w, one.vector, 1.5 * one.step)))
        gained = ((again - w).flatten(1) @ one.vector.flatten()) / one.step
        assert float((gained > 0.5).float().mean()) >= least, (name, gained)


def test_half_precision_shows_nobody_a_difference(model: StyleMapGAN) -> None:
    """bf16 against fp32, where images span 2: decoded faces, and a shifted local edit of each."""
    faces = FacesDataset(128, 8, held_out=True).batch(range(8))
    mask = masks.box(128, 0.25, 0.5, 0.75, 0.9)
    frames = []
    for precision in ("fp32", "bf16"):
        session = stylemap.EditSession(model, precision=precision)
        handles = [session.add(face) for face in faces]
        references = [session.reference(handle, mask, shift=(3, -5)) for handle in handles]
        decoded = [session.edit(handle, []) for handle in handles]
        edited = [session.edit(handles[i], [references[i - 1]]) for i in range(8)]
        frames.append(torch.stack(decoded + edited))
    assert not torch.equal(*frames)
    error = (frames[0] - frames[1]).square().flatten(1).mean(1)
    assert float(10 * torch.log10(4 / error).min()) >= 40


REALISM, SHARPNESS = "Fréchet distance (EfficientNet-Lite0) ", "Laplacian energy over the images' "
# Rows of the table in docs/training.md: what their label begins with, the metric, its format.
IN_DOCS = (
    ("Fréchet distance, samples, truncation 0.7 ", REALISM + "samples, truncation 0.7", ".0f"),
    ("Fréchet distance, edits", REALISM + "edits", ".0f"),
    ("reconstruction, EfficientNet", "reconstruction efficientnet", ".4f"),
    ("edit of the hair: error inside", "local editing hair mse_ref", ".4f"),
    ("edit of the eyes: seam", "local editing eyes seam efficientnet", ".3f"),
    ("blond hair: others kept", "direction blond hair others kept", ".3f"),
)


def test_the_table_says_what_was_measured() -> None:
    text = (ROOT / "docs/training.md").read_text()
    before = json.loads((ROOT / "benchmarks/results/demo_before.json").read_text())["values"]
    for label, metric, form in IN_DOCS:
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {label}"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:3] == [format(values[metric], form) for values in (before, _metrics())], label


def test_documents_say_what_refining_gains() -> None:
    errors = json.loads((ROOT / "benchmarks/results/refine.json").read_text())["mse"]
    first, ten, twenty_five, fifty = (f"{errors[steps]:.4f}" for steps in ("0", "10", "25", "50"))
    photos, readme = ((ROOT / name).read_text() for name in ("docs/photos.md", "README.md"))
    assert f"from {first} to {ten} in 10 steps, {twenty_five} in 25 and {fifty} in 50" in photos
    assert f"from {first} to {twenty_five}" in readme


def test_the_model_looks_more_real_than_the_autoencoder_it_started_from() -> None:
    before = json.loads((ROOT / "benchmarks/results/demo_before.json").read_text())["values"]
    for kind in ("samples", "samples, truncation 0.7", "midpoints", "edits"):
        assert _metrics()[REALISM + kind] < 0.5 * before[REALISM + kind], kind
