"""Several directions in one file: what is written is read, steps lead between classes, bad files say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylemap import edit

SHAPE = (2, 4, 4)


def _one() -> edit.NamedDirection:
    vector = edit.direction.unit(torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)))
    return edit.NamedDirection(vector, 4.0, 0.98)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one = _one()
    other = edit.NamedDirection(-one.vector, 2.5)
    path = tmp_path / "two.safetensors"
    edit.save_directions({"z first": one, "a second": other}, path)
    found = edit.load_directions(path, SHAPE)
    assert list(found) == ["z first", "a second"]
    torch.testing.assert_close(found["z first"].vector, one.vector, atol=1e-3, rtol=0)
    assert (found["z first"].step, found["z first"].accuracy) == (one.step, one.accuracy)
    assert found["a second"].step == 2.5


def test_bad_files_are_named(tmp_path: Path) -> None:
    one = _one()
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
