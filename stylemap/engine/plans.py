"""What sessions share: one plan per model and precision, and the convolutions of its ring."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from stylemap.engine.cpu import layers
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.model import StyleMapGAN
from stylemap.model.decoder import StyledResBlock

_lock = threading.RLock()
P = TypeVar("P", CpuPlan, GpuPlan)
_plans: weakref.WeakKeyDictionary[StyleMapGAN, dict[str, tuple[object, Any]]] = weakref.WeakKeyDictionary()
_rings: weakref.WeakKeyDictionary[CpuPlan, list[Convolution]] = weakref.WeakKeyDictionary()

# F(2 × 2): a ring is two cells wide, so small tiles waste least, and few tiles take longer to read weights
# than to multiply by them, of which this algorithm has fewest. Core milliseconds for the ring of a 64 × 64
# brush with F(2), F(4), F(6): 512 channels at 64²: 4.5, 6.1, 9.5; 256 at 128²: 2.8, 2.7, 4.3; 128 at 256²:
# 1.3, 1.9, 2.5.
_RING_TILE = 2


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


def ring_convolutions(model: StyleMapGAN, plan: CpuPlan) -> list[Convolution]:
    """The convolutions that make the maps of every stylecode, for few tiles; ``plan``'s own where they do."""
    with _lock:
        if plan not in _rings:
            _rings[plan] = [
                _ring_convolution(model, plan, i) for i in range(2 * len(plan.config.resolutions))
            ]
        return _rings[plan]


def _ring_convolution(model: StyleMapGAN, plan: CpuPlan, index: int) -> Convolution:
    own = plan._map_convolution(index)
    if own.tile == _RING_TILE:
        return own

    def choose(name: str, inputs: int, outputs: int, resolution: int) -> tuple[int, bool]:
        return _RING_TILE, plan.precision == "bf16"

    decoder, side = model.generator.decoder, plan.config.stylecode_shapes[index][1]
    blocks = cast("list[StyledResBlock]", list(decoder.convs))
    styled = [decoder.conv1, *(layer for block in blocks for layer in (block.conv1, block.conv2))]
    if index == len(styled):
        return layers._to_rgb(decoder.to_rgb, choose, side).maps
    return layers._modulation(styled[index].conv, own.name, side, choose)


def _state(model: StyleMapGAN) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter or buffer is replaced or written to."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
