from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import reference
from tests.ops.common import DTYPES, LAYOUTS, arrange, assert_layout, assert_matches, poisoned_memory, tensor

BLUR = torch.tensor([1.0, 3.0, 3.0, 1.0])
FILTER = BLUR[:, None] * BLUR[None, :] / 16
KINDS = [(3, False), (1, False), (3, True)]  # kernel size, upsampling


def inputs(
    kernel: int,
    shape: tuple[int, int, int, int] = (2, 8, 5, 6),
    style: int = 3,
    out: int = 4,
    dtype: torch.dtype = torch.float32,
    layout: str = "contiguous",
) -> list[Tensor]:
    n, c, h, w = shape
    shapes = [
        (n, style, h, w),
        (out, c, kernel, kernel),
        (out,),
        (c, style, 3, 3),
        (c,),
        (c, style, 3, 3),
        (c,),
    ]
    x = tensor(*shape, dtype=torch.float64).mul(2).add(1)
    rest = [tensor(*s, dtype=torch.float64, seed=i + 1) / max(1, len(s) * 1.5) for i, s in enumerate(shapes)]
    rest[4] += 1
    values = [t.to(dtype) for t in (x, *rest)]
    return [arrange(t, layout) if i < 2 else t for i, t in enumerate(values)]


@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("kernel", "up"), KINDS)
def test_matches_reference(kernel: int, up: bool, dtype: torch.dtype, layout: str, normalize: str) -> None:
    values = inputs(kernel, dtype=dtype, layout=layout)
    options: dict[str, Any] = {"normalize": normalize, "filter": FILTER.to(dtype) if up else None}
    with poisoned_memory():
        y = ops.modulated_conv2d(*values, **options)
    assert_matches(y, reference.modulated_conv2d, *values, **options)
    assert_layout(y, values[0])


def test_running_statistics() -> None:
    values = inputs(3)
    stats = {"running_mean": tensor(8), "running_var": tensor(8, seed=1).square() + 0.5}
    y = ops.modulated_conv2d(*values, normalize="BatchNorm2d", **stats)
    assert_matches(y, reference.modulated_conv2d, *values, normalize="BatchNorm2d", **stats)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 5, 1, 7), (0, 4, 3, 3)], ids=str)
@pytest.mark.parametrize(("kernel", "up"), KINDS)
def test_edges(shape: tuple[int, int, int, int], kernel: int, up: bool) -> None:
    values = inputs(kernel, shape)
    values[0].add_(values[0] * 0.5)
    filter = FILTER if up else None
    y = ops.modulated_conv2d(*values, filter=filter)
    if shape[0]:
        assert_matches(y, reference.modulated_conv2d, *values, filter=filter)
    factor = 2 if up else 1
    assert y.shape == (shape[0], 4, shape[2] * factor, shape[3] * factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("up", [False, True])
def test_gradients_match_reference(up: bool, dtype: torch.dtype) -> None:
    values = inputs(3, dtype=dtype)
    filter = FILTER.to(dtype) if up else None
    size = (10, 12) if up else (5, 6)
    grad = tensor(2, 4, *size, dtype=dtype, seed=20)

    def gradient(op: Any, index: int, *args: Tensor) -> Tensor:
        leaves = [t.detach().requires_grad_() for t in args[:-1]]
        blur = None if filter is None else filter.to(args[0].dtype)
        return torch.autograd.grad(op(*leaves, filter=blur), leaves[index], args[-1])[0]

    for index in range(8):
        actual = gradient(ops.modulated_conv2d, index, *values, grad)
        assert_gradient(
            actual, lambda *a, i=index: gradient(reference.modulated_conv2d, i, *a), *values, grad
        )


def assert_gradient(actual: Tensor, expected: Any, *args: Tensor) -> None:
    """Within twice PyTorch's own error. In low precision a sum near 0 may have another sign than in float64,
    which PyTorch's gradient shares: the table, made for values, would not hold for either."""
    exact = expected(*(t.double() for t in args))
    error = float((actual.double() - exact).norm() / exact.norm())
    own = float((expected(*args).double() - exact).norm() / exact.norm())
    assert error <= 2 * own + 1e-6 * (actual.dtype != torch.float64) + 1e-14, (
        f"{error:.2e}, PyTorch's own {own:.2e}"
    )


@pytest.mark.parametrize("normalize", ["LayerNorm", "BatchNorm2d", "running"])
@pytest.mark.parametrize("up", [False, True])
def test_gradcheck(up: bool, normalize: str) -> None:
    shape = (2, 1, 2, 1) if up else (2, 2, 2, 1)
    values = [t.requires_grad_() for t in inputs(3, shape, style=1, out=1, dtype=torch.float64)]
    options: dict[str, Any] = {"normalize": normalize, "filter": FILTER.double() if up else None}
    if normalize == "running":
        stats = {"running_mean": tensor(shape[1]).double(), "running_var": torch.ones(shape[1]).double()}
        options |= {"normalize": "BatchNorm2d", **stats}

    def function(*args: Tensor) -> Tensor:
        return ops.modulated_conv2d(*args, **options)

    assert torch.autograd.gradcheck(function, values, fast_mode=up)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True)


def test_frozen_weights() -> None:
    values = inputs(3)
    expected = [t.clone().requires_grad_() for t in values]
    ops.modulated_conv2d(*expected).square().sum().backward()
    for t in values[:2]:
        t.requires_grad_()
    ops.modulated_conv2d(*values).square().sum().backward()
    for actual, full in zip(values[:2], expected[:2], strict=True):
        torch.testing.assert_close(actual.grad, full.grad)
    assert all(t.grad is None for t in values[2:])


@pytest.mark.parametrize(
    ("kernel", "up", "layout"), [(3, False, "contiguous"), (1, False, "strided"), (3, True, "channels_last")]
)
def test_opcheck(kernel: int, up: bool, layout: str) -> None:
    values = [t.requires_grad_() for t in inputs(kernel, layout=layout)]
    rest = (FILTER if up else None, 1, 1e-5, None, None, 0.2, 1.4)
    torch.library.opcheck(torch.ops.stylemap.modulated_conv2d.default, (*values, *rest))


@pytest.mark.parametrize("up", [False, True])
def test_compile_without_graph_breaks(up: bool) -> None:
    def function(*values: Tensor) -> Tensor:
        return ops.modulated_conv2d(*values, filter=FILTER if up else None) + 1

    compiled = torch.compile(function, fullgraph=True, dynamic=None, backend="aot_eager")
    for batch in (2, 3, 5):
        values = [t.requires_grad_() for t in inputs(3, (batch, 8, 3, 4))]
        actual = torch.autograd.grad(compiled(*values).square().sum(), values)
        expected = torch.autograd.grad(function(*values).square().sum(), values)
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", ["native", "reference"])
def test_autocast_works_in_its_dtype(name: str) -> None:
    values = [t.requires_grad_() for t in inputs(3)]
    with ops.backend(name), torch.autocast("cpu", torch.bfloat16):
        y = ops.modulated_conv2d(*values, filter=FILTER)
        assert y.dtype == torch.bfloat16
        y.float().sum().backward()
    assert all(t.grad is not None and t.grad.dtype == torch.float32 for t in values)
    low = ops.modulated_conv2d(*(t.bfloat16() for t in values), filter=FILTER)
    torch.testing.assert_close(y, low, rtol=0, atol=0.05 if name == "reference" else 0)


def test_errors_name_the_argument() -> None:
    values = inputs(3)

    def call(index: int, value: Tensor, **options: Any) -> None:
        ops.modulated_conv2d(*values[:index], value, *values[index + 1 :], **options)

    with pytest.raises(
        ValueError, match=r"style must be 2 x S x 5 x 6 for x \(2, 8, 5, 6\), got \(1, 3, 5, 6\)"
    ):
        call(1, values[1][:1])
    with pytest.raises(ValueError, match=r"weight must be out x 8 x k x k.*got \(4, 7, 3, 3\)"):
        call(2, values[2][:, :7])
    with pytest.raises(ValueError, match=r"weight must be 3 x 3 where a filter is given"):
        call(2, values[2][..., :1, :1], filter=FILTER)
    with pytest.raises(ValueError, match=r"bias must have shape \(4,\).*got \(3,\)"):
        call(3, values[3][:3])
    with pytest.raises(ValueError, match=r"beta_weight must have shape \(8, 3, 3, 3\).*got \(8, 2, 3, 3\)"):
        call(6, values[6][:, :2])
    with pytest.raises(TypeError, match=r"gamma_bias is torch.float64, but x is torch.float32"):
        call(5, values[5].double())
    with pytest.raises(ValueError, match=r"beta_bias is on meta, but x is on cpu"):
        call(7, values[7].to("meta"))
    with pytest.raises(ValueError, match="gain"):
        ops.modulated_conv2d(*values, gain=0.0)
    with pytest.raises(RuntimeError, match="style"):
        torch.ops.stylemap.modulated_conv2d(
            values[0], values[1][:1], *values[2:], None, 1, 1e-5, None, None, 0.2, 1.4
        )
