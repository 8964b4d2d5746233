"""Directions by linear SVM: fitting, files, bad files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stylemap import edit

SHAPE = (4, 8, 8)


def _labelled(count: int, gap: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Stylemaps with and without an attribute that moves them along a known unit direction."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(SHAPE, generator=generator)
    truth /= torch.linalg.vector_norm(truth)
    noise = 0.1 * torch.randn(2 * count, *SHAPE, generator=generator)
    return noise[:count] + gap * truth, noise[count:] - gap * truth, truth


def test_the_direction_is_found() -> None:
    positive, negative, truth = _labelled(60, gap=1.5)
    found = edit.fit_direction(positive, negative)
    assert torch.linalg.vector_norm(found.vector) == pytest.approx(1, abs=1e-5)
    assert float((found.vector * truth).sum()) > 0.9
    assert found.accuracy == 1
    assert found.facts["held_out"] == 24


def test_the_accuracy_of_noise_is_a_coin_toss() -> None:
    positive, negative, _ = _labelled(100, gap=0)
    assert 0.2 < edit.fit_direction(positive, negative, held_out=0.5).accuracy < 0.8


def test_the_same_seed_gives_the_same_direction() -> None:
    positive, negative, _ = _labelled(10, gap=0.3)
    first, second = (edit.fit_direction(positive, negative, seed=1) for _ in range(2))
    assert torch.equal(first.vector, second.vector)


def test_nothing_held_out() -> None:
    positive, negative, _ = _labelled(2, gap=1)
    assert np.isnan(edit.fit_direction(positive, negative, held_out=0).accuracy)


def test_bad_examples() -> None:
    positive, negative, _ = _labelled(3, gap=1)
    with pytest.raises(ValueError, match=r"\(3, 4, 8, 8\) and \(3, 4, 4, 4\)"):
        edit.fit_direction(positive, negative[:, :, :4, :4])
    with pytest.raises(ValueError, match="two examples, got 3 and 1"):
        edit.fit_direction(positive, negative[:1])
    with pytest.raises(ValueError, match="held_out"):
        edit.fit_direction(positive, negative, held_out=1)
    with pytest.raises(ValueError, match="not finite"):
        edit.fit_direction(positive * float("inf"), negative)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    positive, negative, _ = _labelled(3, gap=1)
    with pytest.raises(ImportError, match=r"pip install 'stylemap\[direction\]'"):
        edit.fit_direction(positive, negative)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_round_trip(tmp_path: Path, suffix: str) -> None:
    positive, negative, _ = _labelled(10, gap=0.5)
    found = edit.fit_direction(positive, negative)
    path = tmp_path / f"smile{suffix}"
    edit.save_direction(found, path)
    again = edit.load_direction(path, SHAPE)
    assert torch.allclose(again.vector, found.vector, atol=1e-7)
    assert again.accuracy == found.accuracy
    assert dict(again.facts) == dict(found.facts)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_plain_arrays_are_directions_too(tmp_path: Path) -> None:
    vector = np.ones(SHAPE)
    np.save(tmp_path / "a.npy", vector)
    np.savez(tmp_path / "b.npz", anything=vector)
    for name in ("a.npy", "b.npz"):
        found = edit.load_direction(tmp_path / name)
        assert torch.allclose(found.vector, torch.full(SHAPE, 1 / 16))


def test_bad_files(tmp_path: Path) -> None:
    def written(name: str, **arrays: np.ndarray) -> Path:  # type: ignore[type-arg]
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    good = np.ones(SHAPE)
    nan = good.copy()
    nan[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"nan\.npz: .*NaN or infinite"):
        edit.load_direction(written("nan.npz", vector=nan))
    with pytest.raises(ValueError, match="length above 0"):
        edit.load_direction(written("zero.npz", vector=0 * good))
    with pytest.raises(ValueError, match=r"\(4, 8, 8\), but the model's stylemaps are \(64, 8, 8\)"):
        edit.load_direction(written("shape.npz", vector=good), (64, 8, 8))
    with pytest.raises(ValueError, match="no array K x L x L named 'vector'"):
        edit.load_direction(written("two.npz", a=good, b=good))
    with pytest.raises(ValueError, match=r"pickled\.npz is not a direction file"):
        edit.load_direction(written("pickled.npz", vector=np.array([object()])))
    for name in ("text.npz", "text.safetensors", "text.npy", "empty.npz"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "not an archive")
        with pytest.raises(ValueError, match=f"{name} is not a direction file"):
            edit.load_direction(tmp_path / name)
    for name in ("missing.npz", "missing.safetensors"):
        with pytest.raises(FileNotFoundError):
            edit.load_direction(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
        edit.save_direction(edit.Direction(torch.ones(SHAPE), 1.0), tmp_path / "smile.txt")
