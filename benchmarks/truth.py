"""What a result has to be: the model itself, eager and in float64, and how far from it a backend may be."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from stylemap import edit, ops
from stylemap.benchmarks.strokes import SCENARIOS, script
from stylemap.model import StyleMapGAN

#: Relative L2 error beyond which a backend is wrong. Others than the engine may have somewhat more: LayerNorm
#: in one pass costs them a digit in fp32, and in bf16 they keep activations in 8 bits.
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 3e-3}
RIVAL_TOLERANCE = {"fp32": 3e-4, "bf16": 3e-2, "fp16": 6e-3}
# Where the truth of scenarios that are computed alike is taken from: float64 takes long.
_ALIKE = {
    "open": "encode",
    "paint_128": "paint_64",
    "paint_128_many": "paint_64_many",
    "stroke": "paint_64",
    "drag": "paint_64",
    "switch": "paint_64",
    "strip": "slider",
    "request": "slider",
    "batch_8": "paint_64",
    "batch_32": "paint_64",
}
#: The step that is compared: the first of most, a slider half way.
STEP = {"slider": 8}


def proof_of(scenario: str) -> str:
    """The scenario whose result is compared in its place."""
    return _ALIKE.get(scenario, scenario)


class _Remembering:
    """A model that computes the stylecodes of a stylemap once: in float64 they take seconds."""

    def __init__(self, model: StyleMapGAN) -> None:
        self._model, self._known = model, dict[int, tuple[Tensor, list[Tensor]]]()
        self.config, self.encode, self.synthesize = model.config, model.encode, model.synthesize

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        if id(w) not in self._known:
            self._known[id(w)] = w, self._model.stylecodes(w)  # w stays alive: its id is its name
        return self._known[id(w)][1]


class Truth:
    """Results of one model in float64 for some scenarios. The model in float64 is not kept."""

    def __init__(
        self, model: StyleMapGAN, photos: Tensor, scenarios: Iterable[str], device: torch.device | None = None
    ) -> None:
        like = torch.empty(0, dtype=torch.float64, device=device)
        work = _Work(_Remembering(copy.deepcopy(model).to(like)), photos.to(like))
        names = dict.fromkeys(proof_of(scenario) for scenario in scenarios)
        with torch.no_grad(), ops.backend("reference"):
            self._known = {name: work.result(name).float().cpu() for name in names}

    def __call__(self, scenario: str) -> Tensor:
        """Float32 result of the step that is compared, 1×…"""
        return self._known[proof_of(scenario)]


class _Work:
    def __init__(self, model: Any, photos: Tensor) -> None:
        self._model, self._photos = model, photos
        self._stylemaps: dict[int, Tensor] = {}

    def stylemap(self, photo: int) -> Tensor:
        if photo not in self._stylemaps:
            self._stylemaps[photo] = self._model.encode(self._photos[photo : photo + 1])
        return self._stylemaps[photo]

    def result(self, name: str) -> Tensor:
        step = script(name)[STEP.get(name, 0)]
        kind, w = SCENARIOS[name].kind, self.stylemap(step.original)
        if kind == "encode":
            return w
        if kind == "decode":
            image: Tensor = self._model.synthesize(self._model.stylecodes(w))
            return image
        others = [self.stylemap(part.photo) for part in step.parts]
        if kind == "mix":
            return edit.mix_styles(self._model, w, others[0], "coarse")
        size = self._model.config.size
        masks = [part.mask(size).to(w) for part in step.parts]
        shifts = [part.pixels(size) for part in step.parts]
        return edit.blend(self._model, w, others, masks, shifts, step.weights)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Relative L2 error; infinite for another shape or NaN."""
    if actual.shape != expected.shape:
        return float("inf")
    exact = expected.detach().cpu().double()
    difference = (actual.detach().cpu().double() - exact).norm() / exact.norm().clamp_min(1e-30)
    return float(difference) if bool(difference.isfinite()) else float("inf")
