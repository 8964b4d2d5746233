"""A model whose methods run on its inference plan: many images once each, where a session edits few often."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylemap.engine.plans import Plan, find_plan, placed
from stylemap.engine.renderer import PlainRenderer
from stylemap.engine.session import EditSession
from stylemap.model import Model, Sampling, StyleMapGAN
from stylemap.model.checks import check_tensor

_log = logging.getLogger(__name__)


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
    _log.warning("no inference plan on %s, the model itself runs: %s", device, why)
    return placed(model, device, precision)


def session_of(model: Model) -> EditSession:
    """A session of a model from `for_inference`, or of an exported one: on its plan, where it has one."""
    if isinstance(model, PlannedModel):
        return model.session()
    return EditSession(model, renderer=PlainRenderer(model))


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
        self._model = model

    def session(self, **options: Any) -> EditSession:
        """A session on the same plan; ``options`` as those of `EditSession`."""
        return EditSession(self._model, self.like.device, self.plan.precision, plan=self.plan, **options)

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        return self._batched(self.plan.encode, images)

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
        return self._model.map(z.to(self._model.like), classes).to(self.like)

    def __call__(self, images: Tensor) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))

    def _batched(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.like.is_cuda or len(x) < 2:
            return function(x)
        return torch.cat([function(one) for one in x.split(1)])
