"""Several directions in one file: what is written is read, steps lead between classes, bad files say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylemap import edit
from stylemap.edit.direction_set import along_data

SHAPE = (2, 4, 4)


def _fitted() -> tuple[edit.NamedDirection, torch.Tensor, torch.Tensor]:
    """From classes that differ along one direction, among examples that vary much more along another."""
    generator = torch.Generator().manual_seed(0)
    truth, other = (edit.direction.unit(torch.randn(SHAPE, generator=generator)) for _ in range(2))
    other = edit.direction.unit(other - (other * truth).sum() * truth)
    noise = 0.05 * torch.randn(400, *SHAPE, generator=generator)
    noise += 3 * torch.randn(400, 1, 1, 1, generator=generator) * other
    positive, negative = noise[:200] + 3 * truth, noise[200:] - truth
    return along_data(edit.fit_direction(positive, negative), positive, negative), positive, negative


def test_one_step_leads_from_class_to_class() -> None:
    found, positive, negative = _fitted()
    way = positive.mean(0) - negative.mean(0)
    along = float((found.vector * way).sum() / way.norm())
    assert along > 0.97
    assert found.step == pytest.approx(4, rel=0.15)


def test_it_changes_what_varies_with_the_score() -> None:
    """Two numbers that always change together: the normal may use one, the direction has both."""
    positive, negative = torch.zeros(2, 50, 1, 1, 3)
    both = torch.rand(50, generator=torch.Generator().manual_seed(0))
    positive[:, 0, 0, 0], negative[:, 0, 0, 0] = 1 + both, -1 - both
    positive[:, 0, 0, 1], negative[:, 0, 0, 1] = 1 + both, -1 - both
    normal = edit.Direction(torch.tensor([[[1.0, 0.0, 0.0]]]), 1.0)
    found = along_data(normal, positive, negative)
    torch.testing.assert_close(found.vector, torch.tensor([[[0.5, 0.5, 0.0]]]) * 2**0.5)
    assert found.step == pytest.approx(2 * 2**0.5 * (1 + float(both.mean())), rel=1e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one, _, _ = _fitted()
    other = edit.NamedDirection(-one.vector, 2.5)
    path = tmp_path / "two.safetensors"
    edit.save_directions({"z first": one, "a second": other}, path)
    found = edit.load_directions(path, SHAPE)
    assert list(found) == ["z first", "a second"]
    torch.testing.assert_close(found["z first"].vector, one.vector, atol=1e-3, rtol=0)
    assert (found["z first"].step, found["z first"].accuracy) == (one.step, one.accuracy)
    assert found["a second"].step == 2.5


def test_bad_files_are_named(tmp_path: Path) -> None:
    one, _, _ = _fitted()
    good, other, broken = (tmp_path / f"{name}.safetensors" for name in ("good", "other", "broken"))
    edit.save_directions({"one": one}, good)
    save_file({"one": one.vector}, str(other))
    broken.write_bytes(good.read_bytes()[:40])
    for path in (other, broken):
        with pytest.raises(ValueError, match=f"{path.name} is not a file of directions"):
            edit.load_directions(path)
    with pytest.raises(ValueError, match=r"good.safetensors: one is \(2, 4, 4\)"):
        edit.load_directions(good, (2, 8, 8))
    with pytest.raises(FileNotFoundError):
        edit.load_directions(tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="safetensors"):
        edit.save_directions({"one": one}, tmp_path / "one.npz")
