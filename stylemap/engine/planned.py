"""A model whose methods run on its inference plan: many images once each, where a session edits few often."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.renderers import DTYPES, find_plan
from stylemap.engine.session import EditSession
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_tensor

_log = logging.getLogger(__name__)


def planned(model: StyleMapGAN, device: torch.device, precision: str) -> StyleMapGAN | PlannedModel:
    """``model`` on its plan, or where there is none (a log line says why) itself in that precision.

    Args:
        model: in float32, from which a plan takes its weights in any precision. It may be moved, and must not
            be changed afterwards: the plan is made once, `map` and `session` read the model later.
        precision: "fp32", "bf16" or "fp16".
    """
    plan, why = find_plan(model, device, precision)
    if plan is not None:
        return PlannedModel(model, plan)
    _log.warning("no inference plan on %s, the model itself runs: %s", device, why)
    return model.to(device, DTYPES[precision])


class PlannedModel:
    """What edits, metrics and commands ask of a `StyleMapGAN`, computed by its plan.

    Shapes and errors are the model's; there are no gradients. Images and stylemaps are float32, whatever
    the plan's precision. Images of one batch are computed together on a GPU, and one after the other on a
    CPU, where a batch gains little and takes memory for each of its images.
    """

    def __init__(self, model: StyleMapGAN, plan: CpuPlan | GpuPlan) -> None:
        self.config = plan.config
        self.plan = plan
        self._model = model
        self._like = plan.like

    def session(self, **options: Any) -> EditSession:
        """A session on the same plan; ``options`` as those of `EditSession`."""
        where = self._like.device
        return EditSession(self._model, where, self.plan.precision, plan=self.plan, **options)

    def parameters(self) -> Iterator[Tensor]:
        """One empty tensor with the dtype and device of all others: how edits ask a model for them."""
        yield self._like

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        if isinstance(self.plan, GpuPlan) or len(images) < 2:
            return self.plan.encode(images)
        return torch.cat([self.plan.encode(image) for image in images.split(1)])

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""
        return self.plan.stylecodes(w)

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes."""
        return self.plan.synthesize(codes)

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps."""
        if isinstance(self.plan, GpuPlan) or len(w) < 2:
            return self.plan.decode(w)
        return torch.cat([self.plan.decode(one) for one in w.split(1)])

    @torch.no_grad()
    def map(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, by the model itself: a few small products in float32."""
        check_tensor("z", z, (self.config.latent_channel_size,), self._like)
        return self._model.map(z.to(self._model._like)).to(self._like)

    # Sums over `map` and `decode` alone, which do not care what computes those.
    mean_stylemap = StyleMapGAN.mean_stylemap
    sample = StyleMapGAN.sample

    def __call__(self, images: Tensor) -> Tensor:
        """Reconstruction: decode(encode(images))."""
        return self.decode(self.encode(images))
