"""How cost grows: with the image's size, the mask's area, references, batch and threads."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stylemap.benchmarks import models, summary
from stylemap.benchmarks.backends import Backend, Codes, Engine, Photos
from stylemap.benchmarks.baselines import Plain
from stylemap.benchmarks.harness import Budget, Clock, Run, interleave
from stylemap.benchmarks.strokes import Part, Step
from stylemap.config import Config
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model

_SIZES = {True: (64, 128, 256), False: (128, 256, 512, 1024)}
_SIDES = (16, 64, 112, 160, 208, 248)
_COUNTS = (1, 2, 3, 4, 6, 8)
_BATCHES = (1, 2, 4, 8)
_DECODE = Step(0, ())
_STROKE = Step(0, (Part(1, ((70, 90, 64),), (8, -5)),))
#: A point's key is (backend, operation, x).
Point = tuple[str, str, float]


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The part "scaling", in fp32; quick: on the demo's narrow widths."""
    clock, seconds = Clock(device), 0.7 if quick else 12.0
    rows = []
    with torch.no_grad():
        rows += _sizes(device, clock, quick, 2 * seconds)
        name = "demo" if quick else "small"
        model = models.load(name)
        backends = _backends(model, device)
        title = models.TITLES[name]
        rows += _rows("area", title, _areas(backends["engine"]), clock, seconds, "line")
        rows += _rows("references", title, _references(backends["engine"]), clock, seconds, "line")
        rows += _rows("batch", title, _batches(backends), clock, 2 * seconds, "power")
        if device.type == "cpu" and (os.cpu_count() or 1) > 1:
            points = _threads(backends)
            try:
                rows += _rows("threads", title, points, clock, seconds, "power")
            finally:
                torch.set_num_threads(threads)
    return {"scaling": rows}


def _sizes(device: torch.device, clock: Clock, quick: bool, seconds: float) -> list[dict[str, Any]]:
    """Small generators of every size, with the same widths at the same resolutions."""
    points: dict[Point, Run] = {}
    table = models.CONFIGS["demo"].channel_table if quick else ()
    table = {**dict(table), 256: 16} if quick else table
    for size in _SIZES[quick]:
        config = Config(size=size, small_generator=True, channel_table=table)
        for name, backend in _backends(recipe_model(config), device).items():
            points[name, "decode", size] = _player(backend, "decode", _DECODE)
            points[name, "edit", size] = _player(backend, "edit", _STROKE)
    title = "small generators, narrow" if quick else "small generators"
    return _rows("size", title, points, clock, seconds, "power")


def _areas(engine: Backend) -> dict[Point, Run]:
    """Percent of the image that the brush covers."""
    points: dict[Point, Run] = {}
    for side in _SIDES:
        offset = (256 - side) // 2
        step = Step(0, (Part(1, ((offset, offset, side),), (4, -4)),))
        points["engine", "edit", round(100 * side**2 / 256**2, 1)] = _player(engine, "edit", step)
    return points


def _references(engine: Backend) -> dict[Point, Run]:
    """Brushes of 48 side by side, each of another photo than the one before."""
    points: dict[Point, Run] = {}
    for count in _COUNTS:
        parts = [Part(1 + i % 3, ((8 + 62 * (i % 4), 40 + 90 * (i // 4), 48),), (4, 3)) for i in range(count)]
        points["engine", "edit", count] = _player(engine, "edit", Step(0, tuple(parts)))
    return points


def _batches(backends: Mapping[str, Backend]) -> dict[Point, Run]:
    """Images decoded at once."""
    points: dict[Point, Run] = {}
    for name, backend in backends.items():
        for batch in _BATCHES:
            points[name, "decode", batch] = _batch_player(backend, batch)
    return points


def _batch_player(backend: Backend, batch: int) -> Run:
    ws = torch.cat([backend.stylemaps[i % models.PHOTOS] for i in range(batch)])
    return lambda _: backend.decode_batch(ws)


def _threads(backends: Mapping[str, Backend]) -> dict[Point, Run]:
    points: dict[Point, Run] = {}
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= (os.cpu_count() or 1)]
    for name, backend in backends.items():
        for operation, step in (("decode", _DECODE), ("edit", _STROKE)):
            play = _player(backend, operation, step)
            for count in counts:
                points[name, operation, count] = _with_threads(play, count)
    return points


def _with_threads(play: Run, count: int) -> Run:
    def run(number: int) -> None:
        torch.set_num_threads(count)
        play(number)

    return run


def _player(backend: Backend, kind: str, step: Step) -> Run:
    """Plays a step; an edit every second time a bit further, as the engine knows its last one."""
    moved = [step, Step(step.original, tuple(_moved(part) for part in step.parts))]
    return lambda number: backend.play(kind, [moved[number % 2]])


def _moved(part: Part) -> Part:
    dx, dy = part.shift
    return Part(part.photo, part.squares, (dx + 3, dy))


def _backends(model: StyleMapGAN, device: torch.device) -> dict[str, Any]:
    photos = Photos(model.config.size)
    plain = Plain(model).eval().to(device)
    return {
        "engine": Engine(model, "fp32", photos, device),
        "plain": Codes("plain PyTorch", "fp32", photos, plain, chunk=8, device=device),
    }


def _rows(
    axis: str, model: str, points: Mapping[Point, Run], clock: Clock, seconds: float, fit: str
) -> list[dict[str, Any]]:
    """All points in turns; a row for each backend and operation."""
    samples = interleave({repr(point): run for point, run in points.items()}, Budget(seconds, 2, 30), clock)
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for backend, operation, x in points:
        values = samples[repr((backend, operation, x))].milliseconds
        curves.setdefault((backend, operation), []).append((x, statistics.median(values)))
    return [
        {"axis": axis, "model": model, "precision": "fp32", "backend": backend, "operation": operation}
        | _fitted(curve, fit)
        for (backend, operation), curve in curves.items()
    ]


def _fitted(curve: Sequence[tuple[float, float]], fit: str) -> dict[str, Any]:
    xs, ys = ([float(f"{value:.4g}") for value in values] for values in zip(*curve))
    slope = (summary.slope if fit == "power" else summary.line)(xs, ys)[0]
    return {"x": xs, "ms": ys, "fit": fit, "slope": float(f"{slope:.3g}")}
