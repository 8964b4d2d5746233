"""The compiled libraries: loaded once, when ``stylemap.ops`` is imported.

The CPU library defines every operator and its CPU kernels; the CUDA library adds kernels to the same
operators, so it is only loaded beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from stylemap import _build

_NOT_BUILT = "there are no native kernels for this device type"

#: Device type -> why its kernels cannot be used; None where they are loaded.
missing: dict[str, str | None] = {}


def why_missing(device_type: str) -> str | None:
    """Why there are no native kernels for a device type ("cpu", "cuda", ...), or None where there are."""
    return missing.get(device_type, _NOT_BUILT)


def loaded() -> bool:
    """Whether the operators exist at all (a machine without a compiler has only the reference)."""
    return missing["cpu"] is None


def fake(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the function gives the shapes, dtypes and strides of operator ``name``'s results."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if loaded():
            torch.library.register_fake(f"stylemap::{name}", function)
        return function

    return register


def autograd(name: str, backward: Callable[..., Any], setup_context: Callable[..., Any]) -> None:
    """Register the derivative of operator ``name``."""
    if loaded():
        torch.library.register_autograd(f"stylemap::{name}", backward, setup_context=setup_context)


def _load(name: str) -> str | None:
    try:
        torch.ops.load_library(_build.ensure(name))
    except (_build.BuildError, OSError) as error:
        return str(error)
    return None


def _check_isa() -> None:
    """Raise BuildError where STYLEMAP_ISA names kernels that there are not, or not for this processor."""
    wanted = os.environ.get("STYLEMAP_ISA")
    if wanted and not torch.ops.stylemap.conv2d_select_isa(wanted):
        raise _build.BuildError(
            f"STYLEMAP_ISA={wanted}: there are no such kernels for this processor; auto takes its best"
        )


def _load_all() -> None:
    missing["cpu"] = _load("cpu")
    if missing["cpu"] is None:
        _check_isa()
    if missing["cpu"] is not None:
        missing["cuda"] = missing["cpu"]
    elif not torch.cuda.is_available():
        missing["cuda"] = "torch sees no CUDA device"
    else:
        missing["cuda"] = _load("cuda")


_load_all()
