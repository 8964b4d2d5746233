"""Every layer of the CPU engine in a run: its multiply-adds, the bytes it has to move, and its time."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylemap import program
from stylemap.benchmarks import models
from stylemap.benchmarks.summary import rounded
from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.convolution import Convolution, Moments, Pointwise
from stylemap.engine.cpu.lowering import CpuLowering, Kernels
from stylemap.model import StyleMapGAN
from stylemap.program import Conv, Features, Mode, Part, ToRgb

#: Stages of an image in their order, and the stage that the layers of a part count for.
STAGES = {
    Part.ENCODER: "encode",
    Part.CODES: "stylecodes",
    Part.MAPS: "maps",
    Part.MAIN: "main path",
    Part.SKIP: "main path",
}
WARM = 2  # runs before those that count


@dataclass
class Cost:
    """Multiply-adds done, those of a direct convolution, bytes to move; ``bf16``: what is multiplied."""

    products: int
    direct: int
    bytes: int
    bf16: bool

    def floor(self, peak: dict[str, float]) -> tuple[float, float]:
        """Milliseconds for the products and for the bytes."""
        rate = peak["bf16_gmac_per_s" if self.bf16 else "fp32_gmac_per_s"]
        return self.products / rate / 1e6, self.bytes / peak["copy_gb_per_s"] / 1e6


@dataclass
class Layer:
    """What was measured of one layer."""

    stage: str
    index: int
    algorithm: str
    cost: Cost
    ms: list[float] = field(default_factory=list)


class Watch:
    """Layers by the run they are part of and their name, in the order they were run in."""

    def __init__(self) -> None:
        self.run = ""
        self.layers: dict[tuple[str, str], Layer] = {}
        self.whole: dict[str, list[float]] = defaultdict(list)

    def add(self, layer: Conv, stage: str, algorithm: str, cost: Cost, begin: float) -> None:
        """A call of a layer that has just ended."""
        ms = 1e3 * (time.perf_counter() - begin)
        key = self.run, layer.name
        self.layers.setdefault(key, Layer(stage, layer.index, algorithm, cost)).ms.append(ms)

    def rows(self, peak: dict[str, float]) -> list[dict[str, Any]]:
        """A row for every layer: medians without the first runs."""
        found = []
        for (run, name), layer in self.layers.items():
            arithmetic, memory = layer.cost.floor(peak)
            row: dict[str, Any] = {"run": run, "stage": layer.stage, "layer": name, "index": layer.index}
            row |= {"algorithm": layer.algorithm + (" bf16" if layer.cost.bf16 else "")}
            row |= {"bound": "products" if arithmetic >= memory else "bytes"}
            row |= {each: getattr(layer.cost, each) for each in ("products", "direct", "bytes")}
            found.append(row | times(max(arithmetic, memory), statistics.median(layer.ms[WARM:])))
        return found


class TimedConvolution(Convolution):
    """A convolution of a plan whose calls are watched."""

    def __init__(self, of: Convolution, layer: Conv, watch: Watch) -> None:
        vars(self).update(vars(of))
        self._layer, self._watch = layer, watch

    def __call__(
        self, arena: Arena, x: Tensor, out: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, Moments | None]:
        """See `Convolution`."""
        begin = time.perf_counter()
        result = super().__call__(arena, x, out, **options)
        moved = [
            x,
            result[0],
            self.packed,
            *(options.get(each) for each in ("modulation", "features", "skip")),
        ]
        layer = self._layer
        products = self.shape(result[0].shape[0], layer.side).products
        cost = Cost(products, direct(layer), _bytes(moved), self.bf16)
        plain = f"F({self.tile}×{self.tile}){' of taps' if self.taps else ''}"
        algorithm = plain if layer.mode is Mode.PLAIN else layer.mode.value
        self._watch.add(layer, STAGES[layer.part], algorithm, cost, begin)
        return result


class TimedPointwise(Pointwise):
    """The same for 1×1."""

    def __init__(self, of: Pointwise, layer: Conv, watch: Watch) -> None:
        vars(self).update(vars(of))
        self._layer, self._watch = layer, watch

    def __call__(self, arena: Arena, x: Tensor) -> Tensor:
        """See `Pointwise`."""
        begin = time.perf_counter()
        out = super().__call__(arena, x)
        layer, bf16 = self._layer, self.packed.dtype == torch.bfloat16
        products = layer.side**2 * self.packed.numel()
        cost = Cost(products, direct(layer), _bytes([x, out, self.packed]), bf16)
        self._watch.add(layer, STAGES[layer.part], "1×1", cost, begin)
        return out


class TimedLowering(CpuLowering):
    """Watches every layer. ``arena``: memory of the run."""

    def __init__(self, kernels: Kernels, arena: Arena, watch: Watch) -> None:
        super().__init__(kernels, arena)
        self._watch = watch

    def to_rgb(self, x: Features[Tensor, Moments], maps: Tensor, layer: ToRgb) -> Tensor:
        """See `CpuLowering`."""
        begin = time.perf_counter()
        image = super().to_rgb(x, maps, layer)
        work = direct(layer.conv)
        self._watch.add(
            layer.conv, "image", "1×1", Cost(work, work, _bytes([x.x, maps, image]), False), begin
        )
        return image


def watch_layers(model: StyleMapGAN, precision: str, runs: int) -> Watch:
    """Encode a photo, decode it, and decode it from its maps as after an edit, ``runs`` times each."""
    watch, arena, kernels = Watch(), Arena(), Kernels(model, precision)
    net = kernels.network
    for layer in net.convolutions():
        if layer.name in kernels.convolutions:
            own = kernels.convolutions[layer.name]
            kernels.convolutions[layer.name] = TimedConvolution(own, layer, watch)
        elif layer.name in kernels.pointwise:
            kernels.pointwise[layer.name] = TimedPointwise(kernels.pointwise[layer.name], layer, watch)
    op = TimedLowering(kernels, arena, watch)
    photo = models.photos(model.config.size)[:1].permute(0, 2, 3, 1).contiguous()
    w = program.encode(op, net, photo).clone()
    maps = [each.clone() for each in program.maps(op, net, program.stylecodes(op, net, w))]
    watch.layers.clear()
    bodies: dict[str, Callable[[], Tensor]] = {
        "encode": lambda: program.encode(op, net, photo),
        "decode": lambda: program.decode(op, net, w),
        "edit": lambda: program.synthesize_from_maps(op, net, maps),
    }
    for watch.run, body in bodies.items():
        for _ in range(runs + WARM):
            arena.give_all()
            begin = time.perf_counter()
            body()
            watch.whole[watch.run].append(1e3 * (time.perf_counter() - begin))
    return watch


def direct(layer: Conv) -> int:
    """Multiply-adds of a convolution of one image, without zeros between or around."""
    return layer.side**2 * layer.size**2 * layer.inputs * layer.outputs


def _bytes(tensors: Iterable[Tensor | None]) -> int:
    return sum(each.nbytes for each in tensors if each is not None)


def times(floor: float, ms: float) -> dict[str, float]:
    """Milliseconds of a row, and the share of the time that the floor is."""
    return {"floor_ms": rounded(floor), "ms": rounded(ms), "share": rounded(floor / ms) if ms else 0.0}
