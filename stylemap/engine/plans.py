"""Plans that sessions share: one per model and precision."""

from __future__ import annotations

import threading
import weakref

from stylemap.engine.plan import CpuPlan
from stylemap.model import StyleMapGAN

_lock = threading.Lock()
_plans: weakref.WeakKeyDictionary[StyleMapGAN, dict[str, tuple[object, CpuPlan]]] = (
    weakref.WeakKeyDictionary()
)


def shared_plan(model: StyleMapGAN, precision: str) -> CpuPlan:
    """The plan of this model, made at the first call and when its weights have changed since.

    It lives as long as the model or a session that uses it.
    """
    with _lock:
        plans = _plans.setdefault(model, {})
        state = _state(model)
        known = plans.get(precision)
        if known is None or known[0] != state:
            known = plans[precision] = state, CpuPlan(model, precision)
        return known[1]


def _state(model: StyleMapGAN) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter or buffer is replaced or written to."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
