"""What a session runs on: the plan for its device, or the model itself where there is none."""

from __future__ import annotations

import logging

import torch

from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.engine.gpu.layers import why_not
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.plain_renderer import PlainRenderer
from stylemap.engine.plans import shared_gpu_plan, shared_plan
from stylemap.model import StyleMapGAN
from stylemap.ops import _native

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Renderer = CpuRenderer | GpuRenderer | PlainRenderer
_log = logging.getLogger(__name__)


def renderer(
    model: StyleMapGAN,
    device: torch.device,
    precision: str,
    cache_bytes: int,
    cache_dtype: torch.dtype,
    plan: CpuPlan | GpuPlan | None = None,
) -> Renderer:
    """The fastest there is, with a log line that says which.

    Raises:
        ValueError: fp16 on a CPU, a plan that does not fit.
    """
    if plan is None and device.type == "cpu" and precision == "fp16":
        raise ValueError("fp16 is for GPUs: on a CPU use precision 'fp32' or 'bf16'")
    if plan is not None:
        _check(plan, model, device, precision)
    else:
        device = torch.empty(0, device=device).device
        plan, why = find_plan(model, device, precision)
        if plan is None:
            _log.warning("edits on %s run the model itself, without a cache: %s", device, why)
            return PlainRenderer(model, device, DTYPES[precision])
        _log.info("edits on %s run on the inference plan, %s", device, precision)
    if isinstance(plan, GpuPlan):
        return GpuRenderer(plan, cache_bytes, cache_dtype)
    return CpuRenderer(plan, plan.ring(model), cache_bytes, cache_dtype)


def find_plan(
    model: StyleMapGAN, device: torch.device, precision: str
) -> tuple[CpuPlan | GpuPlan | None, str]:
    """The plan that everything which runs this model shares, or None and a line that says why."""
    why = _why_plain(model, device, precision)
    if why is not None:
        return None, why.splitlines()[0]
    gpu = device.type == "cuda"
    return shared_gpu_plan(model, device, precision) if gpu else shared_plan(model, precision), ""


def _why_plain(model: StyleMapGAN, device: torch.device, precision: str) -> str | None:
    """Why there is no plan for this device and model; None where there is one."""
    if device.type not in ("cpu", "cuda"):
        return "there is no plan for this device"
    missing = _native.why_missing(device.type)
    if missing is not None:
        return missing
    if device.type == "cpu":
        return "fp16 is for GPUs" if precision == "fp16" else None
    return why_not(model, DTYPES[precision])


def _check(plan: CpuPlan | GpuPlan, model: StyleMapGAN, device: torch.device, precision: str) -> None:
    where = plan.device if isinstance(plan, GpuPlan) else torch.device("cpu")
    same = where.type == device.type and device.index in (None, where.index)
    if not same or plan.precision != precision or plan.config != model.config:
        name = "the CPU" if where.type == "cpu" else str(where)
        raise ValueError(
            f"the plan is for {name}, {plan.precision} and its model's configuration; "
            f"the session is for {device}, {precision}"
        )
