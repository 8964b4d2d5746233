"""What is known of a model: its convention, and which photos are far from what it knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stylemap import assets, checkpoint, images
from stylemap.photo import DRAWN, FFHQ, Convention
from stylemap.photo.models import Knowledge, known, reconstruction_error
from tests.helpers import tiny

SHARED = Path(__file__).parents[2].parent / "shared" / "images"


def _noted(folder: Path, suffix: str = ".safetensors", **notes: object) -> Knowledge:
    path = folder / f"a{suffix}"
    save = checkpoint.save_safetensors if suffix == ".safetensors" else checkpoint.save_published
    save(tiny.model(), path, train_args=notes)
    return known(path)


@pytest.mark.parametrize(
    ("data", "convention"),
    [
        ("builtin:faces", DRAWN),
        ("celeba_hq", FFHQ),
        ("/data/ffhq256", FFHQ),
        ("afhq", None),
        ("lsun/church_outdoor", None),
        ("lsun/car", None),
        ("cartoons", FFHQ),
    ],
)
def test_the_convention_is_that_of_the_data(data: str, convention: Convention | None, tmp_path: Path) -> None:
    assert _noted(tmp_path, data=data) == Knowledge(convention)
    assert _noted(tmp_path, ".pt", dataset=data) == Knowledge(convention)


def test_a_noted_error_counts(tmp_path: Path) -> None:
    knowledge = _noted(tmp_path, held_out_mse=0.01)
    assert knowledge == Knowledge(FFHQ, 0.01)
    assert not knowledge.is_far(0.04)
    assert knowledge.is_far(0.06)


@pytest.mark.parametrize("error", ["0.1", True, -1.0, None])
def test_other_notes_do_not(error: object, tmp_path: Path) -> None:
    knowledge = _noted(tmp_path, held_out_mse=error)
    assert knowledge.error is None
    assert not knowledge.is_far(100.0)


def test_nothing_is_known_of_what_is_no_checkpoint(tmp_path: Path) -> None:
    assert known(None) == known(tmp_path) == Knowledge()


def test_of_the_bundled_model() -> None:
    path = assets.demo_model()
    assert path is not None
    metrics = json.loads((assets.FOLDER / "demo_metrics.json").read_text())
    assert known(path) == Knowledge(DRAWN, metrics["values"]["reconstruction mse"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs are not part of the project")
def test_photographs_are_far_from_drawn_faces() -> None:
    path = assets.demo_model()
    model, knowledge = checkpoint.load(path), known(path)
    with torch.no_grad():
        for folder in sorted(SHARED.iterdir()):
            for file in sorted(folder.iterdir())[:3]:
                photo = images.load(file, model.config.size)[None]
                assert knowledge.is_far(reconstruction_error(photo, model(photo))), file.name


def test_held_out_faces_are_not() -> None:
    from stylemap.data.faces import FacesDataset

    path = assets.demo_model()
    model, knowledge = checkpoint.load(path), known(path)
    photos = FacesDataset(model.config.size, 24, held_out=True).batch(range(24))
    with torch.no_grad():
        for photo in photos.split(1):
            assert not knowledge.is_far(reconstruction_error(photo, model(photo)))
