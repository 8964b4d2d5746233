from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import reference
from stylemap.ops._statistics import groups_of
from tests.ops.common import (
    DTYPES,
    LAYOUTS,
    assert_layout,
    assert_matches,
    poisoned_memory,
    tensor,
    threads,
)

NORMS = reference.NORMALIZE_MODES
SHAPES = [(2, 8, 5, 7), (1, 16, 1, 1), (1, 24, 33, 9), (3, 8, 40, 41), (2, 520, 9, 8)]


def inputs(*shape: int, dtype: torch.dtype = torch.float32, layout: str = "contiguous") -> list[Tensor]:
    x, gamma, beta = (tensor(*shape, dtype=torch.float64, seed=seed) for seed in range(3))
    values = (3 * x + 2, gamma + 1, beta)
    return [tensor(*shape, dtype=dtype, layout=layout).copy_(v) for v in values]


def running(channels: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    mean = tensor(channels, dtype=torch.float64, seed=5)
    var = tensor(channels, dtype=torch.float64, seed=6)
    return {"running_mean": mean.to(dtype), "running_var": (var.square() + 0.5).to(dtype)}


@pytest.mark.parametrize("normalize", NORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(shape: tuple[int, ...], dtype: torch.dtype, layout: str, normalize: str) -> None:
    x, gamma, beta = inputs(*shape, dtype=dtype, layout=layout)
    with poisoned_memory():
        y = ops.modulate(x, gamma, beta, normalize=normalize)
    assert_matches(y, reference.modulate, x, gamma, beta, normalize)
    assert_layout(y, x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_running_statistics(dtype: torch.dtype, layout: str) -> None:
    x, gamma, beta = inputs(2, 5, 6, 7, dtype=dtype, layout=layout)
    stats = running(5, torch.float64 if dtype == torch.float64 else torch.float32)
    y = ops.modulate(x, gamma, beta, normalize="BatchNorm2d", **stats)
    assert y.dtype == dtype

    def expected(x: Tensor, gamma: Tensor, beta: Tensor, **stats: Tensor) -> Tensor:
        return reference.modulate(x, gamma, beta, "BatchNorm2d", **stats).to(x.dtype)

    assert_matches(y, expected, x, gamma, beta, **stats)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("normalize", NORMS)
def test_gamma_and_beta_as_halves_of_one_tensor(normalize: str, layout: str) -> None:
    x = inputs(2, 16, 9, 11, layout=layout)[0]
    both = tensor(2, 32, 9, 11, seed=3, layout=layout)
    gamma, beta = both[:, :16], both[:, 16:]
    y = ops.modulate(x, gamma, beta, normalize=normalize)
    assert torch.equal(y, ops.modulate(x, gamma.clone(), beta.clone(), normalize=normalize))
    assert_matches(y, reference.modulate, x, gamma, beta, normalize)


@pytest.mark.parametrize("normalize", NORMS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_statistics_survive_a_large_mean(normalize: str, layout: str) -> None:
    x = (tensor(2, 8, 64, 65, dtype=torch.float64) + 3000).float()
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    y = ops.modulate(x, one, zero, normalize=normalize)
    exact = reference.modulate(x.double(), one.double(), zero.double(), normalize)
    # The mean itself is rounded to float32, 1.2e-4 at 3000.
    assert (y - exact).abs().max() < 2.5e-4
    mean, var = ops.moments(x, normalize)
    expected_mean, expected_var = reference.moments(x.double(), normalize)
    assert (mean.flatten() - expected_mean.flatten()).abs().max() <= 1.3e-4
    torch.testing.assert_close(var.flatten().double(), expected_var.flatten(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("normalize", NORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_moments(normalize: str, dtype: torch.dtype) -> None:
    x = inputs(2, 8, 5, 7, dtype=dtype)[0]
    for backend in ("native", "reference"):
        with ops.backend(backend):
            mean, var = ops.moments(x, normalize)
        wanted = (8,) if normalize == "BatchNorm2d" else (2, groups_of(normalize, 8))
        assert mean.shape == var.shape == wanted
        assert mean.dtype == var.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        for actual, expected in zip((mean, var), reference.moments(x.double(), normalize), strict=True):
            torch.testing.assert_close(actual.double().flatten(), expected.flatten(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(0, 8, 4, 4), (2, 8, 0, 4), (2, 0, 4, 4)], ids=str)
@pytest.mark.parametrize("normalize", NORMS)
def test_empty(shape: tuple[int, ...], normalize: str) -> None:
    x, gamma, beta = (t.requires_grad_() for t in inputs(*shape))
    y = ops.modulate(x, gamma, beta, normalize=normalize)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("normalize", [*NORMS, "running"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_match_reference(normalize: str, dtype: torch.dtype, layout: str) -> None:
    values = inputs(2, 8, 17, 19, dtype=dtype, layout=layout)
    grad = tensor(2, 8, 17, 19, dtype=dtype, seed=4, layout="strided")
    options: dict[str, Any] = {"normalize": normalize}
    if normalize == "running":
        options = {"normalize": "BatchNorm2d", **running(8, dtype)}

    def gradient(op: Any, index: int, *args: Tensor) -> Tensor:
        *tensors, cotangent = args
        wide = {k: v.to(cotangent.dtype) if isinstance(v, Tensor) else v for k, v in options.items()}
        tensors = [t.detach().requires_grad_() for t in tensors]
        return torch.autograd.grad(op(*tensors, **wide), tensors[index], cotangent)[0]

    for index in range(3):
        with poisoned_memory():
            actual = gradient(ops.modulate, index, *values, grad)
        assert_matches(actual, lambda *a, i=index: gradient(reference.modulate, i, *a), *values, grad)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("normalize", [*NORMS, "running"])
def test_gradcheck(normalize: str, layout: str) -> None:
    shape = (1, 8, 3, 1) if normalize == "GroupNorm" else (2, 2, 2, 2)
    values = [t.requires_grad_() for t in inputs(*shape, dtype=torch.float64, layout=layout)]
    options: dict[str, Any] = {"normalize": normalize}
    if normalize == "running":
        options = {"normalize": "BatchNorm2d", **running(2, torch.float64)}

    def function(*args: Tensor) -> Tensor:
        return ops.modulate(*args, **options)

    assert torch.autograd.gradcheck(function, values)
    assert torch.autograd.gradgradcheck(
        function, values, fast_mode=layout == "channels_last" or shape[1] == 8
    )


@pytest.mark.parametrize("normalize", ["LayerNorm", "BatchNorm2d"])
def test_third_derivative(normalize: str) -> None:
    channels = 2
    groups = groups_of(normalize, channels)
    x, gamma, a = (tensor(2, channels, 2, 1, dtype=torch.float64, seed=s).requires_grad_() for s in range(3))
    grad = tensor(2, channels, 2, 1, dtype=torch.float64, seed=3)

    def function(x: Tensor, gamma: Tensor, a: Tensor) -> Tensor:
        y = torch.ops.stylemap.modulate(x, gamma, torch.zeros_like(x), groups, 1e-5, None, None)[0]
        (dx,) = torch.autograd.grad(y, x, grad, create_graph=True)
        return torch.autograd.grad(dx, x, a, create_graph=True)[0]

    assert torch.autograd.gradcheck(function, (x, gamma, a))


@pytest.mark.parametrize("normalize", NORMS)
def test_moments_gradcheck(normalize: str) -> None:
    x = tensor(2, 8, 2, 1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.moments(x, normalize), (x,))
    assert torch.autograd.gradgradcheck(lambda x: ops.moments(x, normalize), (x,))


@pytest.mark.parametrize(("groups", "layout"), [(0, "channels_last"), (1, "strided"), (4, "contiguous")])
def test_opcheck(groups: int, layout: str) -> None:
    x, gamma, beta = (t.requires_grad_() for t in inputs(2, 4, 3, 5, layout=layout))
    mean, var = torch.ops.stylemap.moments(x.detach(), groups)
    given = (mean, var.rsqrt()) if groups == 0 else (None, None)
    torch.library.opcheck(torch.ops.stylemap.moments.default, (x, groups))
    torch.library.opcheck(torch.ops.stylemap.modulate.default, (x, gamma, beta, groups, 1e-5, *given))
    backward = (beta, x, gamma, mean, var.rsqrt(), groups, False)
    torch.library.opcheck(torch.ops.stylemap.modulate_backward.default, backward)


@pytest.mark.parametrize("normalize", NORMS)
def test_compile_without_graph_breaks(normalize: str) -> None:
    def function(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return ops.modulate(x * 2, gamma, beta, normalize=normalize) + 1

    compiled = torch.compile(function, fullgraph=True, dynamic=None, backend="aot_eager")
    for batch in (2, 3, 5):
        values = [t.requires_grad_() for t in inputs(batch, 8, 3, 4)]
        actual = torch.autograd.grad(compiled(*values).square().sum(), values)
        expected = torch.autograd.grad(function(*values).square().sum(), values)
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalize", NORMS)
def test_same_on_any_number_of_threads(normalize: str, layout: str) -> None:
    values = [t.requires_grad_() for t in inputs(2, 16, 61, 50, layout=layout)]
    results = []
    for count in (1, 2):
        with threads(count):
            y = ops.modulate(*values, normalize=normalize)
            results.append([y, *torch.autograd.grad(y, values, values[2].detach())])
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_autocast_casts_the_modulation() -> None:
    x, gamma, beta = inputs(2, 3, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = ops.modulate(x, gamma.bfloat16(), beta.bfloat16())
    assert y.dtype == torch.float32
    with pytest.raises(TypeError, match=r"gamma is torch.bfloat16, but x is torch.float32"):
        ops.modulate(x, gamma.bfloat16(), beta)


def test_errors_name_the_argument() -> None:
    x, gamma, beta = inputs(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"gamma must have shape \(2, 3, 4, 5\).*got \(1, 3, 4, 5\)"):
        ops.modulate(x, gamma[:1], beta)
    with pytest.raises(ValueError, match=r"beta must have shape \(2, 3, 4, 5\).*got \(2, 3, 5, 4\)"):
        ops.modulate(x, gamma, beta.transpose(2, 3))
    with pytest.raises(ValueError, match="beta is on meta, but x is on cpu"):
        ops.modulate(x, gamma, beta.to("meta"))
    with pytest.raises(ValueError, match=r"normalize must be one of.*'RMSNorm'"):
        ops.modulate(x, gamma, beta, normalize="RMSNorm")
    with pytest.raises(ValueError, match="multiple of 8 channels, got 3"):
        ops.modulate(x, gamma, beta, normalize="GroupNorm")
    with pytest.raises(ValueError, match="running_mean is only for BatchNorm2d"):
        ops.modulate(x, gamma, beta, **running(3))
    with pytest.raises(ValueError, match=r"running_mean must have shape \(3,\).*got \(4,\)"):
        ops.modulate(x, gamma, beta, normalize="BatchNorm2d", **running(4))
    with pytest.raises(ValueError, match="together"):
        ops.modulate(x, gamma, beta, normalize="BatchNorm2d", running_mean=torch.zeros(3))
    with pytest.raises(RuntimeError, match="gamma has shape"):
        torch.ops.stylemap.modulate(x, gamma[:1], beta, 1, 1e-5, None, None)
