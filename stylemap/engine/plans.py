"""Which plan or model runs on a device: one plan per model and precision, shared by all that use it."""

from __future__ import annotations

import copy
import logging
import threading
import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.engine.gpu.plan import GpuPlan, why_not
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.renderer import PlainRenderer, Plan, Renderer
from stylemap.inputs import ImagesLike
from stylemap.memory import usual_cache
from stylemap.model import Model, Sampling, StyleMapGAN
from stylemap.model.checks import as_images, check_tensor
from stylemap.ops import _native

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_log = logging.getLogger(__name__)
_lock = threading.RLock()


_plans: weakref.WeakKeyDictionary[StyleMapGAN, dict[str, tuple[object, Plan]]] = weakref.WeakKeyDictionary()


def find_plan(model: StyleMapGAN, device: torch.device, precision: str) -> tuple[Plan | None, str]:
    """The plan that everything which runs this model shares, or None and a line that says why.

    It is made at the first call and when the model's weights have changed since, and lives as long as the
    model or what uses it.
    """
    device = torch.empty(0, device=device).device
    why = _why_plain(model, device, precision)
    if why is not None:
        return None, why.splitlines()[0]
    key = f"{device} {precision}"
    with _lock:
        plans, state = _plans.setdefault(model, {}), _state(model)
        known = plans.get(key)
        if known is None or known[0] != state:
            gpu = device.type == "cuda"
            plan: Plan = GpuPlan(model, device, precision) if gpu else CpuPlan(model, precision)
            known = plans[key] = state, plan
        return known[1], ""


def open_renderer(
    model: Model,
    device: torch.device,
    precision: str,
    cache_bytes: int | None,
    cache_dtype: torch.dtype,
    plan: Plan | None = None,
) -> Renderer:
    """The fastest there is, with a log line that says which.

    cache_bytes: None for `memory.usual_cache`, of what is free once the plan is there.

    Raises:
        ValueError: fp16 on a CPU, a plan that does not fit, another device or precision than a model's own
            where it is no checkpoint.
    """
    if isinstance(model, PlannedModel):
        plan = plan or model.plan
        model = model.checkpoint
    if not isinstance(model, StyleMapGAN):
        if device.type != model.like.device.type or precision != "fp32":
            raise ValueError(
                f"this model runs on {model.like.device}, with images in fp32; "
                f"the session is for {device}, {precision}"
            )
        return PlainRenderer(model)
    if plan is None:
        if device.type == "cpu" and precision == "fp16":
            raise ValueError("fp16 is for GPUs: on a CPU use precision 'fp32' or 'bf16'")
        plan, why = find_plan(model, device, precision)
        if plan is None:
            _log.log(_level(device), "edits on %s run the model itself, without a cache: %s", device, why)
            return PlainRenderer(placed(model, device, precision))
        _log.info("edits on %s run on the inference plan, %s", plan.like.device, precision)
    _check(plan, model, device, precision)
    if isinstance(plan, GpuPlan):
        return GpuRenderer(plan, usual_cache("cuda") if cache_bytes is None else cache_bytes, cache_dtype)
    assert isinstance(plan, CpuPlan)
    ring = plan.ring(model)
    return CpuRenderer(plan, ring, usual_cache("cpu") if cache_bytes is None else cache_bytes, cache_dtype)


def for_inference(model: StyleMapGAN, device: torch.device, precision: str) -> Model:
    """``model`` on its plan, or where there is none (a log line says why) itself in that precision.

    Args:
        model: in float32, from which a plan takes its weights in any precision. It must not be changed
            afterwards: the plan is made once, `map` and `session` read the model later.
        precision: "fp32", "bf16" or "fp16".
    """
    plan, why = find_plan(model, device, precision)
    if plan is not None:
        return PlannedModel(model, plan)
    _log.log(_level(device), "no inference plan on %s, the model itself runs: %s", device, why)
    return placed(model, device, precision)


def handed_over(model: StyleMapGAN, precision: str) -> Model:
    """A model on a CPU that nobody else uses, on its plan and without tensors of its own, ready for sessions
    (see `PlannedModel.release`); the model as it is where there is no plan.
    """
    device = model.like.device
    if device.type != "cpu" or find_plan(model, device, precision)[0] is None:
        return model
    planned = for_inference(model, device, precision)
    if isinstance(planned, PlannedModel):
        planned.release(sessions=True)
    return planned


def _level(device: torch.device) -> int:
    """Of the line that there is no plan: where native kernels are missing, the operators warn of it."""
    return logging.WARNING if _native.why_missing(device.type) is None else logging.INFO


class PlannedModel(Sampling):
    """A `Model` computed by a plan.

    Shapes and errors are the model's; there are no gradients. Images and stylemaps are float32, whatever
    the plan's precision. Images of one batch are computed together on a GPU, and one after the other on a
    CPU, where a batch gains little and takes memory for each of its images.
    """

    def __init__(self, model: StyleMapGAN, plan: Plan) -> None:
        self.config = plan.config
        self.like = plan.like
        self.class_names = model.class_names
        self.plan = plan
        self.checkpoint = model

    def release(self, *, sessions: bool) -> None:
        """Free the model's own tensors, which are a quarter of what the plan holds, but for those that `map`
        reads. For who made the model for this one use: it cannot run by itself any more.

        sessions: whether there will be any, from `EditSession.of`: they need a little more of the weights,
            which is packed now.
        """
        if sessions and isinstance(self.plan, CpuPlan):
            self.plan.ring(self.checkpoint)
        kept = (self.checkpoint.generator.mapping_z, self.checkpoint.generator.decoder.input)
        spared = {module for one in kept for module in one.modules()}
        for module in (*self.checkpoint.encoder.modules(), *self.checkpoint.generator.modules()):
            if module not in spared:
                _to_meta(module)

    def encode(self, images: ImagesLike) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1], or of pictures (`stylemap.inputs.ImagesLike`)."""
        return self._batched(self.plan.encode, as_images(images, self.config, self.like))

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""
        return self.plan.stylecodes(w)

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes."""
        return self.plan.synthesize(codes)

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps."""
        return self._batched(self.plan.decode, w)

    @torch.no_grad()
    def map(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, by the model itself: a few small products in float32."""
        check_tensor("z", z, (self.config.latent_channel_size,), self.like)
        return self.checkpoint.map(z.to(self.checkpoint.like), classes).to(self.like)

    def __call__(self, images: ImagesLike) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))

    def _batched(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.like.is_cuda or len(x) < 2:
            return function(x)
        return torch.cat([function(one) for one in x.split(1)])


def placed(model: StyleMapGAN, device: torch.device, precision: str) -> StyleMapGAN:
    """The model on a device and in a precision; a copy where it is not there already."""
    like = torch.empty(0, device=device, dtype=DTYPES[precision])
    if model.like.device == like.device and model.like.dtype == like.dtype:
        return model
    return copy.deepcopy(model).to(like)


def _to_meta(module: nn.Module) -> None:
    """Forget the values of a module's own parameters and buffers."""
    for name, parameter in module.named_parameters(recurse=False):
        setattr(module, name, nn.Parameter(parameter.detach().to("meta"), requires_grad=False))
    for name, buffer in module.named_buffers(recurse=False):
        setattr(module, name, buffer.to("meta"))


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


def _check(plan: Plan, model: Model, device: torch.device, precision: str) -> None:
    where = plan.like.device
    same = where.type == device.type and device.index in (None, where.index)
    if not same or plan.precision != precision or plan.config != model.config:
        name = "the CPU" if where.type == "cpu" else str(where)
        raise ValueError(
            f"the plan is for {name}, {plan.precision} and its model's configuration; "
            f"the session is for {device}, {precision}"
        )


def _state(model: StyleMapGAN) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter or buffer is replaced or written to."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
