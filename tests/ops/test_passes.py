"""The passes in plain PyTorch, and what they refuse there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops
from stylemap.ops import passes
from tests.ops.common import tensor


@pytest.mark.parametrize("count", [0, 3, 40])
def test_rows_that_are_all_padding(count: int) -> None:
    x, weight = tensor(1, 8, 6, 5), tensor(16, 8, 3, 3)
    y = tensor(1, 16, 6, 5).contiguous(memory_format=torch.channels_last)
    before = y.clone()
    assert torch.equal(passes.conv_rows_(y, x, weight, None, torch.full((count,), -1).int()), before)


@pytest.mark.parametrize("rows", [[4], [0, 29, 7, -1, -1], list(range(30))], ids=len)
def test_listed_rows_are_convolved_and_no_others(rows: list[int]) -> None:
    x, weight, bias = tensor(1, 8, 6, 5), tensor(16, 8, 3, 3, seed=1), tensor(16, seed=2)
    y = tensor(1, 16, 6, 5, seed=3).contiguous(memory_format=torch.channels_last)
    expected, made = y.clone(), F.conv2d(x, weight, bias, padding=1)
    listed = [row for row in rows if row >= 0]
    expected.permute(0, 2, 3, 1).view(30, 16)[listed] = made.permute(0, 2, 3, 1).reshape(30, 16)[listed]
    torch.testing.assert_close(
        passes.conv_rows_(y, x, weight, bias, torch.tensor(rows, dtype=torch.int32)), expected
    )


CALLS: dict[str, Callable[[Tensor, Tensor, str], Any]] = {
    "conv_act": lambda x, w, name: passes.conv_act(x, w, implementation=name),
    "transposed_conv": lambda x, w, name: passes.transposed_conv(x, w, implementation=name),
    "modulate_conv": lambda x, w, name: passes.modulate_conv(
        x, x, w, w[:, 0, 0, 0], w, w[:, 0, 0, 0], x.new_zeros(1, 1), x.new_ones(1, 1), implementation=name
    ),
}


@pytest.mark.parametrize("implementation", ["tensor_cores_64", "triton", "cudnn"])
@pytest.mark.parametrize("call", CALLS)
def test_a_named_implementation_is_never_plain_pytorch(call: str, implementation: str) -> None:
    x, weight = tensor(1, 16, 4, 4), tensor(16, 16, 3, 3)
    with ops.backend("reference"):
        CALLS[call](x, weight, "auto")
        with pytest.raises(RuntimeError, match=f"implementation '{implementation}' was asked for"):
            CALLS[call](x, weight, implementation)
