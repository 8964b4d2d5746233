"""What sessions share: one plan per model and precision."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.model import StyleMapGAN

_lock = threading.RLock()
P = TypeVar("P", CpuPlan, GpuPlan)
_plans: weakref.WeakKeyDictionary[StyleMapGAN, dict[str, tuple[object, Any]]] = weakref.WeakKeyDictionary()


def shared_plan(model: StyleMapGAN, precision: str) -> CpuPlan:
    """The plan of this model, made at the first call and when its weights have changed since.

    It lives as long as the model or a session that uses it.
    """

    return _shared(model, f"cpu {precision}", lambda: CpuPlan(model, precision))


def shared_gpu_plan(model: StyleMapGAN, device: torch.device, precision: str) -> GpuPlan:
    """The same on a GPU."""
    return _shared(model, f"{device} {precision}", lambda: GpuPlan(model, device, precision))


def _shared(model: StyleMapGAN, key: str, make: Callable[[], P]) -> P:
    with _lock:
        plans, state = _plans.setdefault(model, {}), _state(model)
        known = plans.get(key)
        if known is None or known[0] != state:
            known = plans[key] = state, make()
        plan: P = known[1]
        return plan


def _state(model: StyleMapGAN) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter or buffer is replaced or written to."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
