"""Multiplying a stylemap by a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylemap import edit
from tests.helpers import tiny

K, L = tiny.CHANNELS, tiny.CELLS


def _random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3


def test_it_multiplies_and_strength_fades_the_map_in() -> None:
    w, map = _random(2, K, L, L), _random(K, L, L)
    assert torch.allclose(edit.modulate_map(w, map), w * map)
    assert torch.allclose(edit.modulate_map(w, map, 0.25), w * (0.75 + 0.25 * map))
    assert torch.equal(edit.modulate_map(w, map, 0), w)
    assert torch.equal(edit.modulate_map(w, torch.ones(1, L, L), 7.5), w)
    several = edit.modulate_map(w[:1], map, [0, 1, -2])
    assert several.shape == (3, K, L, L)
    assert torch.allclose(several[2:], w[:1] * (3 - 2 * map))


def test_shapes_mean_the_same_map() -> None:
    w, cells = _random(2, K, L, L), _random(1, L, L)
    expected = w * cells
    for map in (cells, cells[0], cells.expand(K, -1, -1)):
        assert torch.allclose(edit.modulate_map(w, map), expected)
    painted = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    for map in (painted, painted[0]):
        assert torch.allclose(edit.modulate_map(w, map), expected)


def test_a_painted_cell_takes_its_mean() -> None:
    w, painted = _random(1, K, L, L), torch.ones(2 * L, 2 * L)
    painted[2, 4] = 0  # one of four pixels of the cell in row 1, column 2
    expected = w.clone()
    expected[:, :, 1, 2] *= 0.75
    assert torch.allclose(edit.modulate_map(w, painted), expected)


def test_a_mask_bounds_it() -> None:
    w, map = _random(2, K, L, L), _random(K, L, L)
    mask = edit.masks.box(4 * L, 0, 0, 0.5, 1)
    changed = edit.modulate_map(w, map, mask=mask)
    assert torch.allclose(changed[..., : L // 2], (w * map)[..., : L // 2])
    assert torch.equal(changed[..., L // 2 :], w[..., L // 2 :])


def test_dtype_stays() -> None:
    w = _random(1, K, L, L).to(torch.bfloat16)
    assert edit.modulate_map(w, torch.full((1, L, L), 2.0)).dtype == torch.bfloat16
    assert edit.modulate_map(w, torch.full((L, L), 2)).equal(w * 2)


@pytest.mark.parametrize("shape", [(K, L, L + 1), (2, L, L), (K, 2 * L, 2 * L), (L + 1, L + 1), (L,), (0, 0)])
def test_other_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a map must be 8 x 8 x 8.*got " + " x ".join(map(str, shape))):
        edit.modulate_map(_random(1, K, L, L), torch.ones(shape))


def test_bad_arguments() -> None:
    w = _random(2, K, L, L)
    with pytest.raises(ValueError, match="finite values"):
        edit.modulate_map(w, torch.full((L, L), float("nan")))
    with pytest.raises(ValueError, match="3 strengths"):
        edit.modulate_map(w, torch.ones(L, L), [1, 2, 3])
    with pytest.raises(ValueError, match="w must be"):
        edit.modulate_map(w[0], torch.ones(L, L))


def test_maps_in_files(tmp_path: Path) -> None:
    map, shape = _random(K, L, L).float(), tiny.CONFIG.stylemap_shape
    np.save(tmp_path / "m.npy", map.numpy())
    np.savez(tmp_path / "m.npz", map=map.numpy(), other=np.zeros(2))
    save_file({"any": map}, tmp_path / "m.safetensors")
    for suffix in ("npy", "npz", "safetensors"):
        assert torch.equal(edit.load_map(tmp_path / f"m.{suffix}", shape), map)
    np.save(tmp_path / "m.npy", np.ones((3, L, L)))
    with pytest.raises(ValueError, match=r"m\.npy: a map must be"):
        edit.load_map(tmp_path / "m.npy", shape)
    np.save(tmp_path / "m.npy", np.array(["no", "numbers"]))
    with pytest.raises(ValueError, match=r"m\.npy is no file of arrays: an array of <U7"):
        edit.load_map(tmp_path / "m.npy", shape)
