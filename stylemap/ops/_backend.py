"""Which implementation the operators run on: the native kernels or the plain-PyTorch reference."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch
from torch import Tensor

from stylemap.ops import _native

CHOICES = ("auto", "native", "reference")

_log = logging.getLogger("stylemap.ops")
_choice = "auto"
_announced: set[str] = set()


def set_backend(name: str) -> None:
    """Choose the implementation of every operator, for the whole process.

    ``"native"``: the C++/CUDA kernels, an error where there are none for the tensor's device.
    ``"reference"``: plain PyTorch. ``"auto"`` (the default): native where it is built, otherwise the
    reference with one logged warning that says why.

    Raises ValueError for another name, RuntimeError for ``"native"`` where nothing is built.
    """
    global _choice
    if name not in CHOICES:
        raise ValueError(f"backend must be one of {', '.join(CHOICES)}, got {name!r}")
    if name == "native" and not _native.loaded():
        raise RuntimeError(f"the native backend is not available: {_native.why_missing('cpu')}")
    _choice = name


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """`set_backend` for the length of a ``with`` block."""
    before = _choice
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def requested() -> str:
    """The name that `set_backend` was last given: "auto", "native" or "reference"."""
    return _choice


def current_backend(device: torch.device | str = "cpu") -> str:
    """``"native"`` or ``"reference"``: what a tensor on ``device`` is computed with now."""
    native = _choice != "reference" and _native.why_missing(torch.device(device).type) is None
    return "native" if native else "reference"


def use_native(x: Tensor) -> bool:
    """Whether to call the native operator for ``x``; raises RuntimeError for an unmet request."""
    if _choice == "reference":
        return False
    device = x.device.type
    reason = _native.why_missing(device)
    if reason is not None and _choice == "native":
        raise RuntimeError(f"the native backend was asked for, but not for {device} tensors: {reason}")
    if not torch.compiler.is_compiling() and device not in _announced:
        _announce(device, reason)
    return reason is None


def _announce(device: str, reason: str | None) -> None:
    _announced.add(device)
    if reason is None:
        _log.info("native kernels for %s tensors", device)
    else:
        _log.warning("plain PyTorch instead of native kernels for %s tensors: %s", device, reason)
