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

SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (1, 17, 33, 9), (3, 65, 4, 4), (2, 600, 3, 1), (1, 2, 150, 151)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> None:
    x = tensor(*shape, dtype=dtype, layout=layout)
    bias = tensor(shape[1], dtype=dtype, seed=1)
    with poisoned_memory():
        y = ops.bias_act(x, bias)
    assert_matches(y, reference.bias_act, x, bias)
    assert_layout(y, x)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (2, 3, 2, 3, 4), (70000, 3)], ids=str)
def test_other_ranks(shape: tuple[int, ...]) -> None:
    x, bias = tensor(*shape), tensor(shape[1], seed=1)
    assert_matches(ops.bias_act(x, bias), reference.bias_act, x, bias)


@pytest.mark.parametrize(("slope", "gain"), [(0.0, 1.0), (1.0, 0.5), (0.2, 3.0)])
def test_slope_gain_and_no_bias(slope: float, gain: float) -> None:
    x = tensor(2, 3, 4, 5)
    y = ops.bias_act(x, negative_slope=slope, gain=gain)
    assert_matches(y, reference.bias_act, x, None, slope, gain)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (0, 5)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    x, bias = tensor(*shape).requires_grad_(), tensor(shape[1])
    y = ops.bias_act(x, bias)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_low_precision_value_survives(dtype: torch.dtype) -> None:
    x = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(dtype).reshape(1, 1, -1)
    y = ops.bias_act(x, negative_slope=1.0, gain=1.0)
    assert torch.equal(y.isnan(), x.isnan())
    assert torch.equal(y[~x.isnan()], x[~x.isnan()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_rounds_to_nearest_even(dtype: torch.dtype) -> None:
    x = (tensor(1, 1, 50000) * torch.exp(8 * tensor(1, 1, 50000, seed=1))).to(dtype)
    gain = 0.7
    expected = (x.float() * torch.tensor(gain)).to(dtype)
    assert torch.equal(ops.bias_act(x, negative_slope=1.0, gain=gain), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_matches_reference(dtype: torch.dtype, layout: str) -> None:
    x, bias = tensor(2, 3, 4, 5, dtype=dtype, layout=layout), tensor(3, dtype=dtype, seed=1)
    grad = tensor(2, 3, 4, 5, dtype=dtype, seed=2, layout="strided")

    def gradient(op: object, x: Tensor, bias: Tensor, grad: Tensor) -> Tensor:
        x, bias = x.detach().requires_grad_(), bias.detach().requires_grad_()
        return torch.autograd.grad(op(x, bias), x, grad)[0]  # type: ignore[operator]

    actual = gradient(ops.bias_act, x, bias, grad)
    assert_matches(actual, lambda *args: gradient(reference.bias_act, *args), x, bias, grad)


def test_gradcheck() -> None:
    x = tensor(2, 3, 2, 2, dtype=torch.float64).requires_grad_()
    bias = tensor(3, dtype=torch.float64, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(ops.bias_act, (x, bias))
    assert torch.autograd.gradgradcheck(ops.bias_act, (x, bias))


def test_opcheck() -> None:
    x, bias = tensor(2, 3, 4, 5).requires_grad_(), tensor(3, seed=1).requires_grad_()
    for value in (
        x,
        x.detach().contiguous(memory_format=torch.channels_last),
        tensor(2, 3, 4, 5, layout="strided"),
    ):
        torch.library.opcheck(torch.ops.stylemap.bias_act.default, (value, bias, 0.2, 1.4))
    torch.library.opcheck(torch.ops.stylemap.bias_act_backward.default, (x, x.detach() + 1, 0.2, 1.4))


def test_compile_without_graph_breaks() -> None:
    def function(x: Tensor, bias: Tensor) -> Tensor:
        return ops.bias_act(x * 2, bias) + 1

    compiled = torch.compile(function, fullgraph=True, dynamic=None, backend="aot_eager")
    for batch in (2, 3, 5):
        x, bias = tensor(batch, 3, 4, 4).requires_grad_(), tensor(3, seed=1).requires_grad_()
        compiled(x, bias).square().sum().backward()
        actual, x.grad = x.grad, None
        function(x, bias).square().sum().backward()
        torch.testing.assert_close(actual, x.grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_on_any_number_of_threads(layout: str) -> None:
    x, bias = tensor(1, 7, 150, 151, layout=layout), tensor(7, seed=1)
    with threads(1):
        one = ops.bias_act(x, bias)
    with threads(2):
        two = ops.bias_act(x, bias)
    assert torch.equal(one, two)


def test_autocast_casts_the_bias() -> None:
    x, bias = tensor(1, 3, 4, 4, dtype=torch.bfloat16), tensor(3).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = ops.bias_act(x, bias)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert bias.grad is not None
    assert bias.grad.dtype == torch.float32


def test_errors_name_the_argument() -> None:
    x = tensor(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"bias must have shape \(3,\).*got \(4,\)"):
        ops.bias_act(x, tensor(4))
    with pytest.raises(TypeError, match=r"bias is torch.float64, but x is torch.float32"):
        ops.bias_act(x, tensor(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"bias is on meta, but x is on cpu"):
        ops.bias_act(x, tensor(3).to("meta"))
    with pytest.raises(TypeError, match=r"x must be float64.*int64"):
        ops.bias_act(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x must have at least 2 dimensions.*\(3,\)"):
        ops.bias_act(tensor(3))
    with pytest.raises(ValueError, match="negative_slope"):
        ops.bias_act(x, negative_slope=-0.1)
    with pytest.raises(ValueError, match="gain"):
        ops.bias_act(x, gain=0.0)
    with pytest.raises(RuntimeError, match="bias"):
        torch.ops.stylemap.bias_act(x, tensor(4), 0.2, 1.0)
