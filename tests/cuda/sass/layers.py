"""The decoder's convolutions at 256 x 256 on the modelled chip: simulated cycles, not a GPU's time."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tests.cuda.sass.build import Built

#: Multiprocessors of the whole chip, and of a quarter, which is four times as quick to simulate.
WHOLE, QUARTER = 132, 33
#: As in engine/chip.h: what a product takes of a scheduler's tensor pipe.
SCHEDULERS, PRODUCT_CYCLES = 4, 6
EPS, SLOPE = 1e-5, 0.2
#: `groups` of an operator without statistics, and of a layer norm.
NO_STATISTICS, LAYER_NORM = -1, 1


@dataclass(frozen=True)
class Layer:
    op: str  # of torch.ops.stylemap
    side: int  # of the input
    inputs: int
    outputs: int
    statistics: bool = False  # for the layer norm that follows

    @property
    def name(self) -> str:
        what = {"modulate_conv": "gamma, beta", "conv_act": "conv", "transposed_conv": "conv up"}[self.op]
        extra = " + statistics" if self.statistics else ""
        return f"{what} {self.side}x{self.side} {self.inputs}->{self.outputs}{extra}"


#: Twelve that make up most of a decode; the other layers have shapes of these.
LAYERS = [
    Layer("modulate_conv", 8, 512, 512),
    Layer("modulate_conv", 16, 512, 512),
    Layer("modulate_conv", 32, 512, 512),
    Layer("conv_act", 16, 512, 512),
    Layer("conv_act", 32, 512, 512),
    Layer("modulate_conv", 64, 512, 512),
    Layer("conv_act", 64, 512, 512),
    Layer("transposed_conv", 32, 512, 512),
    Layer("modulate_conv", 128, 256, 256),
    Layer("conv_act", 128, 256, 256),
    Layer("modulate_conv", 256, 128, 128),
    Layer("conv_act", 256, 128, 128, statistics=True),
]


@dataclass
class Result:
    """Sums over the launches of a layer, joins included; what lies between launches is not counted."""

    name: str
    launches: int
    cycles: float  # simulated
    instructions_per_product: float  # warp instructions for each HMMA
    tensor_pipe: float  # share of the chip's scheduler cycles
    wavefronts: float  # of shared memory, over those without bank conflicts
    stalls: dict[str, float]  # share of scheduler cycles


class Engine:
    """A tree's kernels on the modelled chip."""

    def __init__(self, built: Built, multiprocessors: int = WHOLE) -> None:
        os.environ.update(built.environment)
        self._library = ctypes.CDLL(str(built.library))
        self._library.sass_timings.restype = ctypes.c_char_p
        self._library.sass_watch_torch()
        torch.ops.load_library(str(built.library))
        self._library.sass_time(multiprocessors)
        self._multiprocessors = multiprocessors

    @torch.no_grad()
    def run(self, layer: Layer) -> Result:
        op = getattr(torch.ops.stylemap, layer.op)
        values = operands(layer)
        named = {a.name: values[a.name] for a in op.default._schema.arguments if a.name in values}
        self._library.sass_forget_cache()
        op(**named)
        timings = json.loads(self._library.sass_timings())
        return _result(layer, timings, self._multiprocessors)


def operands(layer: Layer) -> dict[str, Any]:
    """Every argument that an operator may ask for, by its name in the schema."""

    def maps(channels: int) -> Tensor:
        return torch.zeros(1, channels, layer.side, layer.side, dtype=torch.float16).to(
            memory_format=torch.channels_last
        )

    def weight() -> Tensor:
        made = torch.zeros(layer.outputs, layer.inputs, 3, 3, dtype=torch.float16)
        return made.to(memory_format=torch.channels_last)

    bias = torch.zeros(layer.outputs, dtype=torch.float16)
    modulated = layer.op == "modulate_conv"
    return {
        "x": maps(layer.outputs if modulated else layer.inputs),
        "style": maps(layer.inputs),
        "weight": weight(),
        "bias": bias,
        "skip": None,
        **{f"{name}_weight": weight() for name in ("gamma", "beta")},
        **{f"{name}_bias": bias for name in ("gamma", "beta")},
        "mean": torch.zeros(1, 1),
        "rstd": torch.ones(1, 1),
        "stride": 1,
        "padding": 1,
        "negative_slope": SLOPE,
        "gain": 1.0,
        "groups": LAYER_NORM if layer.statistics or modulated else NO_STATISTICS,
        "eps": EPS,
        "tile": 0,
    }


def _result(layer: Layer, timings: list[dict[str, Any]], multiprocessors: int) -> Result:
    cycles = sum(t["cycles"] for t in timings)
    products = sum(t["products"] for t in timings)
    slots: dict[str, float] = {}
    for timing in timings:
        for stall, count in timing["slots"].items():
            slots[stall] = slots.get(stall, 0) + count
    held = sum(slots.values())
    return Result(
        name=layer.name,
        launches=len(timings),
        cycles=cycles,
        instructions_per_product=sum(t["instructions"] for t in timings) / max(products, 1),
        tensor_pipe=products * PRODUCT_CYCLES / (SCHEDULERS * multiprocessors * cycles),
        wavefronts=sum(t["wavefronts"] for t in timings)
        / max(sum(t["least_wavefronts"] for t in timings), 1),
        stalls={stall: count / held for stall, count in slots.items()},
    )


def table(results: list[Result]) -> str:
    lines = [f"{'kcycles':>8} {'inst/HMMA':>9} {'tensor':>6} {'smem':>5}  layer; what schedulers did"]
    for r in results:
        top = sorted(r.stalls.items(), key=lambda item: -item[1])[:5]
        states = ", ".join(f"{name} {share:.0%}" for name, share in top)
        lines.append(
            f"{r.cycles / 1e3:8.1f} {r.instructions_per_product:9.2f} {r.tensor_pipe:6.0%} "
            f"{r.wavefronts:5.2f}  {r.name}; {states}"
        )
    lines.append(f"{sum(r.cycles for r in results) / 1e3:8.1f} simulated kcycles in all")
    return "\n".join(lines)


def as_json(results: list[Result]) -> str:
    return json.dumps([asdict(r) for r in results], indent=2)
