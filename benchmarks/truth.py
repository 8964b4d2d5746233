"""What a result has to be: the model itself, eager and in float64, and how far from it a backend may be."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from stylemap import edit, ops
from stylemap.benchmarks.strokes import SCENARIOS, script
from stylemap.model import StyleMapGAN

#: Relative L2 error above which a backend is wrong. Rivals may have somewhat more: LayerNorm
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


class Truth:
    """Results of one model in float64 for some scenarios. The model in float64 is not kept."""

    def __init__(
        self, model: StyleMapGAN, photos: Tensor, scenarios: Iterable[str], device: torch.device | None = None
    ) -> None:
        like = torch.empty(0, dtype=torch.float64, device=device)
        exact, photos = copy.deepcopy(model).to(like), photos.to(like)
        # Each stylemap and its stylecodes are computed once: in float64 they take seconds.
        encode = functools.cache(lambda photo: exact.encode(photos[photo : photo + 1]))
        exact.__dict__["stylecodes"] = functools.cache(exact.stylecodes)
        names = dict.fromkeys(proof_of(scenario) for scenario in scenarios)
        with torch.no_grad(), ops.backend("reference"):
            self._known = {name: _result(exact, encode, name).float().cpu() for name in names}
        del exact.__dict__["stylecodes"]  # a cycle, which would keep the model until it is collected

    def __call__(self, scenario: str) -> Tensor:
        """Float32 result of the step that is compared, 1×…"""
        return self._known[proof_of(scenario)]


def _result(model: StyleMapGAN, encode: Callable[[int], Tensor], name: str) -> Tensor:
    step = script(name)[STEP.get(name, 0)]
    kind, w = SCENARIOS[name].kind, encode(step.original)
    if kind == "encode":
        return w
    if kind == "decode":
        return model.synthesize(model.stylecodes(w))
    others = [encode(part.photo) for part in step.parts]
    if kind == "mix":
        return edit.mix_styles(model, w, others[0], "coarse")
    size = model.config.size
    masks = [part.mask(size).to(w) for part in step.parts]
    shifts = [part.pixels(size) for part in step.parts]
    return edit.blend(model, w, others, masks, shifts, step.weights)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Relative L2 error; infinite for another shape or NaN."""
    if actual.shape != expected.shape:
        return float("inf")
    exact = expected.detach().cpu().double()
    difference = (actual.detach().cpu().double() - exact).norm() / exact.norm().clamp_min(1e-30)
    return float(difference) if bool(difference.isfinite()) else float("inf")
