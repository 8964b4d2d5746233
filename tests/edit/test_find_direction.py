"""Directions as users write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stylemap import assets, edit
from stylemap.edit.direction_set import find_direction, is_bundled

SHAPE = (4, 2, 2)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    found = {
        name: edit.NamedDirection(torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)), step)
        for seed, (name, step) in enumerate([("smile", 3.0), ("blond hair", 2.0)])
    }
    edit.save_directions(found, tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def test_the_bundled_ones_by_name() -> None:
    bundled = assets.demo_directions()
    assert bundled is not None
    for name, one in edit.load_directions(bundled).items():
        found = find_direction(name)
        assert torch.equal(found.vector, one.vector)
        assert (found.step, found.accuracy) == (one.step, one.accuracy)


def test_one_of_a_file(several: Path) -> None:
    assert find_direction(f"{several}:blond hair", SHAPE).step == 2
    assert torch.equal(
        find_direction(f"{several}:smile").vector, edit.load_directions(several)["smile"].vector
    )


def test_a_file_of_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", vector=np.full(SHAPE, 5.0))
    found = find_direction(str(tmp_path / "one.npz"), SHAPE)
    assert found.step == 1
    assert float(found.vector.norm()) == pytest.approx(1)
    edit.save_directions({"x": edit.NamedDirection(torch.ones(SHAPE), 7.0)}, tmp_path / "x.safetensors")
    assert find_direction(str(tmp_path / "x.safetensors")).step == 7


def test_a_wrong_name_lists_what_there_is(several: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has no direction 'smlie', but smile, blond hair; did you mean smile\?"
    ):
        find_direction(f"{several}:smlie")
    with pytest.raises(ValueError, match=r"the bundled file has no direction 'wings', but .*smile"):
        find_direction("wings")
    with pytest.raises(
        ValueError, match=r"holds several directions: write .*:NAME, one of smile, blond hair"
    ):
        find_direction(str(several))


def test_other_refusals(several: Path, tmp_path: Path) -> None:
    for text in ("missing.npz", "folder/x", "missing.safetensors:smile"):
        assert not is_bundled(text)
        with pytest.raises(FileNotFoundError, match=text.partition(":")[0]):
            find_direction(text)
    with pytest.raises(
        ValueError, match=r"smile: the direction is \(4, 2, 2\), .* stylemaps are \(4, 4, 4\)"
    ):
        find_direction(f"{several}:smile", (4, 4, 4))
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(ValueError, match=r"text\.npz is not a direction file"):
        find_direction(str(tmp_path / "text.npz"))
