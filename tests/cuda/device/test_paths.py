"""The shapes that take the kernels' fast paths: whole packs of 16 bytes, tiles, many channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import reference
from tests.ops.common import arrange, assert_matches, poisoned_memory, tensor

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
LAYOUTS = ["contiguous", "channels_last"]
BLUR = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64
FACTORS = [(1, 1), (2, 1), (1, 2)]


def misaligned(x: Tensor) -> Tensor:
    """The same tensor, its memory beginning one element after a 16-byte boundary."""
    memory = torch.empty(x.numel() + 1, dtype=x.dtype)
    layout = memory[1:].as_strided(x.shape, x.stride())
    return layout.copy_(x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 16, 4, 6), (1, 24, 8, 8), (3, 40, 1, 8)], ids=str)
def test_bias_act_packs_matches_reference(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    x, bias = tensor(*shape, dtype=dtype, layout=layout), tensor(shape[1], dtype=dtype, seed=1)
    for value in (x, misaligned(x)):
        with poisoned_memory():
            y = ops.bias_act(value, bias)
        assert_matches(y, reference.bias_act, x, bias)
    flat = tensor(6, 64, dtype=dtype)
    assert_matches(ops.bias_act(flat, flat[0].clone()), reference.bias_act, flat, flat[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("up", "down"), FACTORS)
def test_upfirdn2d_tiles_match_reference(up: int, down: int, layout: str, dtype: torch.dtype) -> None:
    """Borders of tiles, every phase of the padding, crops; 24 channels are three packs of four."""
    filter = (4 * BLUR).to(dtype)
    cases = [
        ((1, 24, 19, 21), (2, 1, 2, 1)),
        ((2, 8, 9, 34), (1, 1, 1, 2)),
        ((1, 72, 8, 6), (3, 4, 2, 2)),
        ((1, 8, 12, 70), (-1, 3, 2, -2)),
        ((1, 8, 1, 1), (3, 3, 4, 4)),
        ((1, 8, 1100, 3), (2, 1, 2, 1)),
    ]
    for shape, padding in cases:
        x = tensor(*shape, dtype=dtype, layout=layout)
        with poisoned_memory():
            y = ops.upfirdn2d(x, filter, up=up, down=down, padding=padding)
        assert_matches(y, reference.upfirdn2d, x, filter, up, down, padding)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("up", "down"), FACTORS)
@pytest.mark.parametrize("flip", [False, True])
def test_upfirdn2d_of_any_four_taps(up: int, down: int, layout: str, flip: bool) -> None:
    x = tensor(1, 8, 10, 11, layout=layout)
    lopsided = torch.outer(torch.tensor([1.0, 2.0, -4.0, 0.5]), torch.tensor([3.0, 1.0, 0.0, 2.0]))
    for filter in (
        tensor(4, 4, seed=3),
        lopsided,
        tensor(4, 4, seed=4) * 1e-4,
        torch.eye(4),
        torch.zeros(4, 4),
    ):
        y = ops.upfirdn2d(x, filter, up=up, down=down, padding=(2, 2), flip_filter=flip)
        assert_matches(y, reference.upfirdn2d, x, filter, up, down, (2, 2, 2, 2), flip)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_upfirdn2d_keeps_infinity_where_its_taps_are(layout: str) -> None:
    x = torch.zeros(1, 8, 12, 12)
    x[:, :, 5, 5] = torch.inf
    x = arrange(x, layout)
    counts = {(1, 1): 16, (2, 1): 16, (1, 2): 4}
    for (up, down), count in counts.items():
        y = ops.upfirdn2d(x, BLUR, up=up, down=down, padding=(2, 1))
        assert int(y.isinf().sum()) == 8 * count
        assert not y.isnan().any()


def modulation(*shape: int, dtype: torch.dtype, layout: str) -> list[Tensor]:
    return [tensor(*shape, dtype=dtype, seed=seed, layout=layout) for seed in range(3)]


#: More pixels than a block takes, groups of many and of odd packs, more packs of channels than threads.
SHAPES = [(2, 16, 40, 30), (1, 40, 9, 7), (2, 24, 3, 5), (1, 2064, 3, 1)]
CASES = [(s, layout) for s in SHAPES for layout in LAYOUTS if s[1] < 2000 or layout == "channels_last"]


@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "layout"), CASES, ids=str)
def test_modulate_packs_matches_reference(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str, normalize: str
) -> None:
    operands = modulation(*shape, dtype=dtype, layout=layout)
    with poisoned_memory():
        y = ops.modulate(*operands, normalize=normalize)
    assert_matches(y, reference.modulate, *operands, normalize)
    shifted = [misaligned(t) for t in operands]
    assert_matches(ops.modulate(*shifted, normalize=normalize), reference.modulate, *operands, normalize)


@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(("shape", "layout"), CASES[2:], ids=str)
def test_modulate_gradient_of_packs(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str, normalize: str
) -> None:
    operands = modulation(*shape, dtype=dtype, layout=layout)
    grad = tensor(*shape, dtype=dtype, seed=5, layout=layout)

    def gradients(op: Any, *args: Tensor) -> Tensor:
        leaves = [t.detach().requires_grad_() for t in args[:3]]
        return torch.stack(torch.autograd.grad(op(*leaves, normalize=normalize), leaves, args[3]))

    with poisoned_memory():
        actual = gradients(ops.modulate, *operands, grad)
    assert_matches(actual, lambda *args: gradients(reference.modulate, *args), *operands, grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-9, 1), (0, 40)], ids=str)
def test_blend_packs_matches_reference(shift: tuple[int, int], layout: str, dtype: torch.dtype) -> None:
    code, other = (tensor(2, 16, 8, 9, dtype=dtype, seed=seed, layout=layout) for seed in range(2))
    mask = tensor(2, 1, 8, 9, seed=3) > 0
    weight = torch.tensor([0.25, 1.0])
    with poisoned_memory():
        y = ops.blend(code, other, mask, shift=shift, weight=weight.to(dtype))
    assert_matches(y, reference.blend, code, other, mask, shift, weight.to(dtype))
    assert torch.equal(ops.blend(misaligned(code), other, mask, shift=shift, weight=weight.to(dtype)), y)


def test_statistics_are_the_same_bits_every_time() -> None:
    x = tensor(2, 16, 40, 30, dtype=torch.float16, layout="channels_last")
    for normalize in reference.NORMALIZE_MODES:
        once, again = ops.moments(x, normalize), ops.moments(x.clone(), normalize)
        assert all(torch.equal(a, b) for a, b in zip(once, again))
