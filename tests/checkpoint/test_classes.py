"""The vectors of the classes in both layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap.checkpoint import convert, load, load_state, save_published, save_safetensors
from tests.helpers import small
from tests.helpers.refusal import refused, saved
from tests.model.test_classes import NAMES, Z, conditional


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_saved_model_is_loaded_with_its_classes(tmp_path: Path, kind: str) -> None:
    model, path = conditional(), tmp_path / f"a.{kind}"
    (save_published if kind == "pt" else save_safetensors)(model, path)
    again = load(path)
    assert again.class_names == NAMES
    assert torch.equal(again.map(Z), model.map(Z))


def trained(path: Path, **changes: Any) -> Path:
    """A .pt as training writes it: averages, weights being trained, and the discriminator's vectors."""
    save_published(conditional(), path, small.discriminator())
    content = torch.load(path, weights_only=False)
    content["g_classes"] = {"weight": torch.full((3, 6), 2.0)}
    content["d_classes"] = {"weight": torch.full((3, 16), 3.0)}
    content.update(changes)
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def test_conversion_keeps_them(tmp_path: Path) -> None:
    first = trained(tmp_path / "a.pt")
    convert(first, tmp_path / "b.safetensors")
    convert(tmp_path / "b.safetensors", tmp_path / "c.pt")
    convert(first, tmp_path / "d.pt")
    before = load_state(first)
    for name in ("b.safetensors", "c.pt", "d.pt"):
        after = load_state(tmp_path / name)
        for part in ("classes", "discriminator_classes"):
            assert torch.equal(getattr(after, part)["weight"], getattr(before, part)["weight"])
        assert load(tmp_path / name).class_names == NAMES
    raw = load_state(tmp_path / "d.pt").raw_classes
    assert raw is not None
    assert torch.equal(raw["weight"], torch.full((3, 6), 2.0))


def test_a_file_without_an_average_of_them_has_those_being_trained(tmp_path: Path) -> None:
    model = load(trained(tmp_path / "a.pt", g_ema_classes=None))
    assert model.class_vectors is not None
    assert torch.equal(model.class_vectors.weight, torch.full((3, 6), 2.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"g_classes": {"weight": torch.zeros(3, 7)}}, "raw_classes: weight has shape 3×7, expected 3×6"),
        ({"g_classes": {"bias": torch.zeros(3)}}, "raw_classes: missing key weight"),
        ({"g_ema_classes": {"weight": torch.zeros(0, 6)}}, "classes: weight has 0 rows, expected 1 to"
         " 100000"),
        ({"d_classes": {"weight": torch.zeros(4, 16)}}, "classes: classes has 3, raw_classes has 3,"
         " discriminator_classes has 4"),
        ({"g_ema_classes": {"weight": torch.full((3, 6), torch.nan)}}, "classes: weight has values that"
         " are NaN or infinite"),
    ],
)  # fmt: skip
def test_wrong_vectors_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = trained(tmp_path / "a.pt", **changes)
    assert refused(saved(path, torch.load(path, weights_only=False))) == message
