from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import reference
from tests.ops.common import (
    DTYPES,
    LAYOUTS,
    assert_layout,
    assert_matches,
    poisoned_memory,
    tensor,
    threads,
)

SHIFTS = [(0, 0), (1, 0), (0, -2), (-3, 1), (2, 2), (4, 0), (0, 5), (100, -100)]


def inputs(
    *shape: int, dtype: torch.dtype = torch.float32, layout: str = "contiguous"
) -> tuple[Tensor, Tensor, Tensor]:
    code, other = (tensor(*shape, dtype=dtype, seed=s, layout=layout) for s in range(2))
    mask = tensor(shape[0], 1, *shape[2:], seed=2) > 0
    return code, other, mask


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_matches_reference(shift: tuple[int, int], dtype: torch.dtype, layout: str) -> None:
    code, other, mask = inputs(2, 5, 6, 7, dtype=dtype, layout=layout)
    weight = torch.tensor([0.3, 1.0])
    with poisoned_memory():
        y = ops.blend(code, other, mask, shift=shift, weight=weight)
    assert_matches(y, reference.blend, code, other, mask, shift, weight)
    assert_layout(y, code)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "sizes", [(1, 3, 1, 1), (3, 1, 1, 3), (1, 1, 3, 1), (1, 1, 1, 3), (3, 3, 1, 1)], ids=str
)
def test_batches_of_one_broadcast(sizes: tuple[int, int, int, int], layout: str) -> None:
    code = tensor(sizes[0], 4, 5, 6, layout=layout)
    other = tensor(sizes[1], 4, 5, 6, seed=1)
    mask = tensor(sizes[2], 1, 5, 6, seed=2) > 0
    weight = torch.linspace(0.2, 0.9, sizes[3])
    y = ops.blend(code, other, mask, shift=(1, -1), weight=weight)
    assert y.shape[0] == 3
    assert_matches(y, reference.blend, code, other, mask, (1, -1), weight)


def test_mask_kinds_and_number_weights() -> None:
    code, other, mask = inputs(1, 3, 4, 5)
    expected = reference.blend(code, other, mask, (1, 1), 0.5)
    for kind in (torch.bool, torch.uint8, torch.float32):
        assert torch.equal(ops.blend(code, other, mask.to(kind), shift=(1, 1), weight=0.5), expected)
        assert torch.equal(ops.blend(code, other, mask[0, 0].to(kind), shift=(1, 1), weight=0.5), expected)
    assert torch.equal(ops.blend(code, other, mask, shift=(1, 1), weight=torch.tensor(0.5)), expected)


def test_only_what_the_mask_selects_is_read() -> None:
    code, other, mask = inputs(1, 3, 4, 5)
    other[~mask.expand_as(other)] = torch.nan
    y = ops.blend(code, other, mask)
    assert torch.equal(y, torch.where(mask, code + (other - code), code))
    assert not y.isnan().any()


def test_empty_and_single() -> None:
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)):
        code, other, mask = inputs(*shape)
        assert ops.blend(code, other, mask).shape == shape
    code, other, _ = inputs(1, 1, 1, 1)
    assert_matches(
        ops.blend(code, other, torch.ones(1, 1), weight=0.25),
        reference.blend,
        code,
        other,
        torch.ones(1, 1),
        (0, 0),
        0.25,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_match_reference(dtype: torch.dtype, layout: str) -> None:
    code, other, mask = inputs(2, 5, 6, 7, dtype=dtype, layout=layout)
    weight = torch.tensor([0.3, 0.8], dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    grad = tensor(2, 5, 6, 7, dtype=dtype, seed=4)
    for shift in SHIFTS:
        for index in range(3):

            def gradient(
                op: str, *args: Tensor, shift: tuple[int, int] = shift, index: int = index
            ) -> Tensor:
                leaves = [t.detach().requires_grad_() for t in args[:3]]
                call = ops.blend if op == "native" else reference.blend
                y = call(leaves[0], leaves[1], mask, shift=shift, weight=leaves[2])
                return torch.autograd.grad(y, leaves[index], args[3], materialize_grads=True)[0]

            with poisoned_memory():
                actual = gradient("native", code, other, weight, grad)
            if abs(shift[0]) > 6:
                assert torch.equal(actual, gradient("reference", code, other, weight, grad))
            elif index < 2:
                assert_matches(actual, lambda *a: gradient("reference", *a), code, other, weight, grad)
            else:
                exact = gradient("reference", *(t.double() for t in (code, other, weight, grad)))
                torch.testing.assert_close(actual.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (1, -1), (-1, 0), (5, 0)], ids=str)
@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (1, 2, 1, 2), (2, 1, 2, 1)], ids=str)
def test_gradcheck(sizes: tuple[int, int, int, int], shift: tuple[int, int]) -> None:
    code = tensor(sizes[0], 2, 3, 2, dtype=torch.float64).requires_grad_()
    other = tensor(sizes[1], 2, 3, 2, dtype=torch.float64, seed=1).requires_grad_()
    mask = tensor(sizes[2], 1, 3, 2, seed=2) > 0
    weight = tensor(sizes[3], dtype=torch.float64, seed=3).requires_grad_()

    def function(code: Tensor, other: Tensor, weight: Tensor) -> Tensor:
        return ops.blend(code, other, mask, shift=shift, weight=weight)

    assert torch.autograd.gradcheck(function, (code, other, weight))
    assert torch.autograd.gradgradcheck(function, (code, other, weight))


def test_opcheck() -> None:
    for layout, samples in (("channels_last", 2), ("strided", 1)):
        code, other, mask = inputs(2, 3, 4, 5, layout=layout)
        code, other = code[:samples].requires_grad_(), other.requires_grad_()
        rest = (mask, torch.tensor([0.5, 0.7]), 1, -1)
        torch.library.opcheck(torch.ops.stylemap.blend.default, (code, other, *rest))
        torch.library.opcheck(torch.ops.stylemap.blend_backward.default, (other, *rest))


def test_compile_without_graph_breaks() -> None:
    def function(code: Tensor, other: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        return ops.blend(code * 2, other, mask, shift=(1, 0), weight=weight) + 1

    compiled = torch.compile(function, fullgraph=True, dynamic=None, backend="aot_eager")
    for batch in (2, 3, 5):
        code, other, mask = inputs(batch, 3, 4, 5)
        values = [code.requires_grad_(), other.requires_grad_(), mask, torch.rand(batch)]
        actual = torch.autograd.grad(compiled(*values).square().sum(), values[:2])
        expected = torch.autograd.grad(function(*values).square().sum(), values[:2])
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_on_any_number_of_threads(layout: str) -> None:
    code, other, mask = inputs(2, 16, 61, 50, layout=layout)
    results = []
    for count in (1, 2):
        with threads(count):
            results.append(ops.blend(code, other, mask, shift=(3, -2), weight=0.3))
    assert torch.equal(*results)


def test_errors_name_the_argument() -> None:
    code, other, mask = inputs(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"reference must have.*\(2, 3, 4, 5\), got \(2, 3, 4, 4\)"):
        ops.blend(code, other[..., :4], mask)
    with pytest.raises(TypeError, match=r"reference is torch.float64, but code is torch.float32"):
        ops.blend(code, other.double(), mask)
    with pytest.raises(ValueError, match=r"mask must be \(4, 5\).*got \(2, 3, 4, 5\)"):
        ops.blend(code, other, mask.expand(2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"mask has 3 samples, which does not go with 2: .*\(2, 3, 4, 5\)"):
        ops.blend(code, other, mask[:1].repeat(3, 1, 1, 1))
    with pytest.raises(ValueError, match=r"weight must be one value per sample, got shape \(2, 2\)"):
        ops.blend(code, other, mask, weight=torch.ones(2, 2))
    with pytest.raises(ValueError, match="mask is on meta, but code is on cpu"):
        ops.blend(code, other, mask.to("meta"))
    with pytest.raises(TypeError, match="shift"):
        ops.blend(code, other, mask, shift=(0.5, 0))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="reference"):
        torch.ops.stylemap.blend(code, other[..., :4], mask, torch.ones(1), 0, 0)
