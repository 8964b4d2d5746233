from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stylemap import ops
from stylemap.ops import passes
from tests.ops.common import tensor


def maps(code: torch.Tensor) -> torch.Tensor:
    weight = tensor(6, code.shape[1], 3, 3, dtype=torch.float64, seed=7)
    return F.conv2d(code, weight, tensor(6, dtype=torch.float64, seed=8), padding=1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dx=st.integers(-10, 10),
    dy=st.integers(-10, 10),
    density=st.sampled_from([0.0, 0.1, 0.6, 0.95, 1.0]),
    weight=st.sampled_from([1.0, 0.25]),
    seed=st.integers(0, 1000),
)
def test_paste_and_ring_is_the_convolution_of_the_blended_code(
    height: int, width: int, dx: int, dy: int, density: float, weight: float, seed: int
) -> None:
    code, other = (tensor(1, 2, height, width, dtype=torch.float64, seed=seed + i) for i in range(2))
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(1, 1, height, width, generator=generator, device="cpu")
    mask = (values < density).to(code.device)
    blended = ops.blend(code, other, mask, shift=(dx, dy), weight=weight)
    exact = maps(blended)
    pasted = ops.blend(maps(code), maps(other), mask, shift=(dx, dy), weight=weight)
    wrong = ((pasted - exact).abs() > 1e-9).any(1, keepdim=True)
    found = passes.ring(mask, (dx, dy))
    assert not (wrong & ~found).any()
    rows = passes.ring_rows(mask, (dx, dy), multiple=4)
    assert rows.numel() % 4 == 0
    kernel, bias = tensor(6, 2, 3, 3, dtype=torch.float64, seed=7), tensor(6, dtype=torch.float64, seed=8)
    torch.testing.assert_close(passes.conv_rows_(pasted, blended, kernel, bias, rows), exact)


def test_the_ring_is_thin() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:24, 8:24] = True
    assert int(passes.ring(mask).sum()) == 18 * 18 - 14 * 14
    assert not passes.ring(torch.ones(8, 8, dtype=torch.bool)).any()
    assert not passes.ring(torch.zeros(8, 8, dtype=torch.bool), (3, 1)).any()
    assert passes.ring(mask, (40, 0)).sum() == 0


def test_rows_are_indices_into_the_batch() -> None:
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[1, 0, 0, 0] = True
    assert passes.ring_rows(mask).tolist() == [16, 17, 20, 21]
    assert passes.ring_rows(mask, multiple=3).tolist() == [16, 17, 20, 21, -1, -1]


@pytest.mark.parametrize("shape", [(3, 5), (2, 1, 3, 5)])
def test_shapes(shape: tuple[int, ...]) -> None:
    n = shape[0] if len(shape) == 4 else 1
    assert passes.ring(torch.ones(shape, dtype=torch.bool)).shape == (n, 1, 3, 5)


@pytest.mark.parametrize("count", [0, 3, 40])
def test_rows_that_are_all_padding(count: int) -> None:
    x, weight = tensor(1, 8, 6, 5), tensor(16, 8, 3, 3)
    y = tensor(1, 16, 6, 5).contiguous(memory_format=torch.channels_last)
    before = y.clone()
    assert torch.equal(passes.conv_rows_(y, x, weight, None, torch.full((count,), -1).int()), before)
