"""Several directions in one file: what is written is read, steps lead between classes, bad files say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylemap import edit
from stylemap.edit.direction_set import with_step

SHAPE = (2, 4, 4)


def _fitted() -> tuple[edit.NamedDirection, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = edit.direction.unit(torch.randn(SHAPE, generator=generator))
    noise = 0.05 * torch.randn(80, *SHAPE, generator=generator)
    positive, negative = noise[:40] + 3 * truth, noise[40:] - truth
    return with_step(edit.fit_direction(positive, negative), positive, negative), positive, negative


def test_one_step_leads_from_the_mean_without_to_the_mean_with() -> None:
    found, positive, negative = _fitted()
    moved = edit.manipulate(negative.mean(0, keepdim=True), found.vector, found.step)[0]
    assert found.step == pytest.approx(4, rel=0.05)
    left, way = (float((one - positive.mean(0)).norm()) for one in (moved, negative.mean(0)))
    assert left < 0.2 * way


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
