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

BLUR = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def blur() -> Tensor:
    return BLUR[:, None] * BLUR[None, :]


def four(padding: tuple[int, ...]) -> tuple[int, int, int, int]:
    return (*padding, *padding) if len(padding) == 2 else padding  # type: ignore[return-value]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [
        (1, 1, (1, 1)),
        (1, 1, (2, 1)),
        (2, 1, (2, 1)),
        (2, 1, (1, 2)),
        (1, 2, (2, 2)),
        (1, 2, (1, 1)),
        (2, 2, (2, 1)),
    ],
)
def test_blur_matches_reference(
    up: int, down: int, padding: tuple[int, int], dtype: torch.dtype, layout: str
) -> None:
    x = tensor(2, 5, 9, 13, dtype=dtype, layout=layout)
    filter = (4 * blur()).to(dtype)
    with poisoned_memory():
        y = ops.upfirdn2d(x, filter, up=up, down=down, padding=padding)
    assert_matches(y, reference.upfirdn2d, x, filter, up, down, four(padding))
    assert_layout(y, x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("taps", [(1, 1), (4, 4), (3, 2), (1, 7), (6, 5), (2, 2)], ids=str)
def test_any_filter_and_factors(taps: tuple[int, int], separable: bool, flip: bool, layout: str) -> None:
    filter = tensor(*taps, seed=1)
    if separable:
        filter = tensor(taps[0], 1, seed=2) * tensor(1, taps[1], seed=3)
    x = tensor(1, 3, 8, 7, layout=layout)
    for up in (1, 2, 3):
        for down in (1, 2, 3):
            for padding in ((6, 5, 4, 7), (-1, 3, 2, -2), (9, -2, -3, 11)):
                with poisoned_memory():
                    y = ops.upfirdn2d(x, filter, up=up, down=down, padding=padding, flip_filter=flip)
                assert_matches(y, reference.upfirdn2d, x, filter, up, down, padding, flip)


def test_several_tasks_and_odd_sizes() -> None:
    for shape in ((1, 2, 257, 131), (1, 40, 70, 33), (3, 1, 100, 64)):
        for layout in ("contiguous", "channels_last"):
            x = tensor(*shape, layout=layout)
            for up, down, padding in ((1, 1, (1, 1)), (2, 1, (2, 1)), (1, 2, (1, 1))):
                y = ops.upfirdn2d(x, blur(), up=up, down=down, padding=padding)
                assert_matches(y, reference.upfirdn2d, x, blur(), up, down, four(padding))


def test_one_dimensional_filter_is_its_outer_product() -> None:
    x = tensor(1, 2, 6, 6)
    assert torch.equal(ops.upfirdn2d(x, BLUR, padding=(1, 2)), ops.upfirdn2d(x, blur(), padding=(1, 2)))


def test_edges_and_empties() -> None:
    one = tensor(1, 1, 1, 1)
    assert_matches(
        ops.upfirdn2d(one, blur(), padding=(3, 3)), reference.upfirdn2d, one, blur(), 1, 1, (3,) * 4
    )
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4)):
        assert ops.upfirdn2d(tensor(*shape), blur(), padding=(2, 1)).shape == shape
    nothing = ops.upfirdn2d(tensor(1, 2, 0, 5), blur(), padding=(4, 4))
    assert nothing.shape == (1, 2, 5, 10)
    assert not nothing.any()
    zero = ops.upfirdn2d(tensor(1, 2, 5, 5), torch.zeros(4, 4), padding=(2, 1))
    assert not zero.any()


def test_infinity_stays_where_its_taps_are() -> None:
    x = torch.zeros(1, 1, 12, 12)
    x[0, 0, 5, 5] = torch.inf
    y = ops.upfirdn2d(x, blur(), padding=(2, 1))
    assert int(y.isinf().sum()) == 16
    assert not y.isnan().any()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [(1, 1, (1, 1)), (2, 1, (2, 1)), (1, 2, (2, 2)), (3, 2, (-1, 4)), (2, 3, (5, 0))],
)
def test_gradcheck(up: int, down: int, padding: tuple[int, int], layout: str) -> None:
    x = tensor(2, 2, 4, 5, dtype=torch.float64, layout=layout).requires_grad_()
    for filter in (blur().double(), tensor(3, 4, dtype=torch.float64)):

        def function(x: Tensor, filter: Tensor = filter) -> Tensor:
            return ops.upfirdn2d(x, filter, up=up, down=down, padding=padding)

        assert torch.autograd.gradcheck(function, (x,))
        assert torch.autograd.gradgradcheck(function, (x,))


def test_opcheck() -> None:
    for layout, rest in (
        ("channels_last", (2, 1, [2, 1, 2, 1], False)),
        ("strided", (1, 2, [2, 2, -1, 3], True)),
    ):
        x = tensor(2, 3, 6, 5, layout=layout).detach().requires_grad_()
        torch.library.opcheck(torch.ops.stylemap.upfirdn2d.default, (x, blur(), *rest))


@pytest.mark.parametrize("dynamic", [None, True])
def test_compile_without_graph_breaks(dynamic: bool | None) -> None:
    def function(x: Tensor) -> Tensor:
        return ops.upfirdn2d(x * 2, blur(), up=2, padding=(2, 1)) + 1

    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for batch, size in ((2, 4), (3, 4), (3, 6)):
        x = tensor(batch, 3, size, size + 1).requires_grad_()
        compiled(x).square().sum().backward()
        actual, x.grad = x.grad, None
        function(x).square().sum().backward()
        torch.testing.assert_close(actual, x.grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_on_any_number_of_threads(layout: str) -> None:
    x = tensor(1, 7, 150, 151, layout=layout)
    results = []
    for count in (1, 2):
        with threads(count):
            results.append(ops.upfirdn2d(x, blur(), padding=(2, 1)))
    assert torch.equal(*results)


def test_filter_of_another_dtype() -> None:
    x = tensor(1, 2, 6, 6, dtype=torch.bfloat16)
    y = ops.upfirdn2d(x, blur(), padding=(2, 1))
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, ops.upfirdn2d(x, blur().double(), padding=(2, 1)))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(y, ops.upfirdn2d(x, blur(), padding=(2, 1)))


def test_errors_name_the_argument() -> None:
    x = tensor(1, 3, 4, 5)
    with pytest.raises(ValueError, match=r"filter of shape \(4, 4\) is larger.*\(1, 3, 4, 5\)"):
        ops.upfirdn2d(x, blur(), padding=(-1, 0))
    with pytest.raises(ValueError, match=r"filter must be k or kh x kw.*\(1, 4, 4\)"):
        ops.upfirdn2d(x, blur()[None])
    with pytest.raises(TypeError, match=r"filter must be a floating tensor, got torch.int64"):
        ops.upfirdn2d(x, torch.ones(4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="filter is on meta, but x is on cpu"):
        ops.upfirdn2d(x, blur().to("meta"))
    with pytest.raises(ValueError, match="filter requires a gradient"):
        ops.upfirdn2d(x, blur().requires_grad_(), padding=(2, 1))
    with pytest.raises(ValueError, match=r"x must have 4 dimensions, got shape \(3, 4\)"):
        ops.upfirdn2d(tensor(3, 4), blur())
    for name in ("up", "down"):
        with pytest.raises(ValueError, match=name):
            ops.upfirdn2d(x, blur(), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="padding"):
        ops.upfirdn2d(x, blur(), padding=(1, 2, 3))  # type: ignore[arg-type]
