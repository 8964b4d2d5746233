"""The passes of the GPU plan with operands that begin at any element of their memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import passes
from tests.cuda.device.test_passes import FILTER, HALVES, TILES, check, last, weight
from tests.ops.common import tensor


def odd(x: Tensor) -> Tensor:
    """The same values and strides, beginning one element after a 16-byte boundary."""
    memory = torch.empty(x.numel() + 1, dtype=x.dtype, device=x.device)
    return memory[1:].as_strided(x.shape, x.stride()).copy_(x)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_conv_act_with_a_bias_at_an_odd_offset(dtype: torch.dtype, implementation: str) -> None:
    x, bias = last(1, 16, 5, 7, dtype=dtype), odd(tensor(24, dtype=dtype, seed=2))
    assert bias.data_ptr() % 4
    check(passes.conv_act, x, weight(24, 16, 3, dtype), bias, implementation=implementation)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_modulate_conv_with_biases_at_odd_offsets(dtype: torch.dtype, implementation: str) -> None:
    x = last(1, 24, 5, 7, dtype=dtype)
    mean, var = ops.moments(x, "LayerNorm")
    operands = [
        last(1, 16, 5, 7, dtype=dtype, seed=1),
        weight(24, 16, 3, dtype, 2),
        odd(tensor(24, dtype=dtype, seed=3)),
        weight(24, 16, 3, dtype, 4),
        odd(tensor(24, dtype=dtype, seed=5)),
        mean,
        torch.rsqrt(var + 1e-5),
    ]
    check(passes.modulate_conv, x, *operands, normalize="LayerNorm", implementation=implementation)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_elementwise_passes_with_a_bias_at_an_odd_offset(dtype: torch.dtype) -> None:
    x, bias = last(2, 8, 9, 7, dtype=dtype), odd(tensor(8, dtype=dtype, seed=1))
    check(passes.blur_act, x, FILTER, bias, gain=2.0**0.5)
    maps = last(2, 16, 9, 7, dtype=dtype, seed=1)
    mean, var = ops.moments(x, "LayerNorm")
    colors = odd(tensor(3, dtype=dtype, seed=3))
    operands = (maps[:, :8], maps[:, 8:11], mean, torch.rsqrt(var + 1e-5))
    w = tensor(3, 8, dtype=dtype, seed=2) * 8**-0.5
    check(passes.modulated_rgb, x, *operands, w, colors, normalize="LayerNorm")


@pytest.mark.parametrize("implementation", TILES)
def test_operands_at_odd_offsets(implementation: str) -> None:
    """Views that begin at any element: biases are read one by one, what is read in packs is copied."""
    dtype = torch.float16
    x, w, bias = last(1, 16, 6, 8, dtype=dtype), weight(24, 16, 3, dtype), tensor(24, dtype=dtype, seed=2)
    skip = last(1, 24, 3, 4, dtype=dtype, seed=5)
    operands = [odd(t) for t in (x, w, bias)]
    assert all(t.data_ptr() % 4 for t in operands)
    check(passes.conv_act, *operands, skip=odd(skip), implementation=implementation)
    check(passes.transposed_conv, odd(x), odd(w), implementation=implementation)
    maps = [weight(16, 16, 3, dtype, 2), tensor(16, dtype=dtype, seed=3), weight(16, 16, 3, dtype, 4)]
    statistics = torch.zeros(1, 1), torch.ones(1, 1)
    modulation = [odd(t) for t in (x, x, *maps, tensor(16, dtype=dtype, seed=5))]
    check(passes.modulate_conv, *modulation, *statistics, implementation=implementation)
    rows, expected = torch.tensor([3, 17], dtype=torch.int32), last(1, 24, 6, 8, dtype=dtype, seed=9)
    actual = passes.conv_rows_(expected.clone(), *operands, rows)
    assert torch.equal(actual, passes.conv_rows_(expected, x, w, bias, rows))
