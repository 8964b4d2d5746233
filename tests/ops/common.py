"""What the operator tests share: comparison with the definition, layouts, poisoned memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tests.helpers.tolerances import tolerance

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
LOW = (torch.bfloat16, torch.float16)
LAYOUTS = ["contiguous", "channels_last", "strided"]


def tensor(
    *shape: int, dtype: torch.dtype = torch.float32, seed: int = 0, layout: str = "contiguous"
) -> Tensor:
    """Normal values, the same for a seed and shape whatever the dtype, layout or default device."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
    return arrange(values.to(torch.get_default_device(), dtype), layout)


def arrange(x: Tensor, layout: str) -> Tensor:
    """The same values in another memory layout; "strided" is neither contiguous nor channels_last."""
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        wide = torch.empty(*x.shape[:-1], 2 * x.shape[-1] + 1, dtype=x.dtype)
        view = wide[..., 1::2]
        view.copy_(x)
        return view
    return x.contiguous()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    expected = expected.double()
    scale = expected.norm().clamp_min(1e-30)
    return float((actual.double() - expected).norm() / scale)


def assert_matches(actual: Tensor, reference: Callable[..., Tensor], *args: Any, **kwargs: Any) -> None:
    """``actual`` is the reference's result, and in low precision at most twice as far off as PyTorch's."""
    exact = reference(*(widen(a) for a in args), **{k: widen(v) for k, v in kwargs.items()})
    assert actual.shape == exact.shape
    dtype = actual.dtype
    error = relative_error(actual, exact)
    assert error <= tolerance("operator", dtype), f"error {error:.2e}"
    if dtype in LOW:
        own = relative_error(reference(*args, **kwargs), exact)
        assert error <= 2 * own + 1e-12, f"error {error:.2e}, PyTorch's own {own:.2e}"


def widen(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def assert_layout(actual: Tensor, x: Tensor) -> None:
    """The result is channels_last where x is, and otherwise contiguous."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        assert actual.is_contiguous(memory_format=torch.channels_last)
    else:
        assert actual.is_contiguous()


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fresh tensors hold NaN: what a kernel does not write shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
