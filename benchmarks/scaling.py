"""How cost grows: with the image's size, the mask's area, references, batch and threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from stylemap.benchmarks import models
from stylemap.benchmarks.backends import Backend, Codes, Engine, Photos
from stylemap.benchmarks.baselines import Plain
from stylemap.benchmarks.strokes import Part, Step
from stylemap.benchmarks.summary import fit, rounded
from stylemap.benchmarks.timing import Budget, Clock, Run, interleave
from stylemap.config import Config
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model

_SIZES = {True: (64, 128, 256), False: (128, 256, 512, 1024)}
_SIDES = (16, 64, 112, 160, 208, 248)
_REFERENCES = (1, 2, 3, 4, 6, 8)
_BATCHES = (1, 2, 4, 8)
_STEPS = {"decode": Step(0, ()), "edit": Step(0, (Part(1, ((70, 90, 64),), (8, -5)),))}
#: A point's key is (backend, operation, x).
Points = dict[tuple[str, str, float], Run]


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The part "scaling", in fp32; quick: with the demo's narrow widths."""
    clock, seconds = Clock(device), 0.7 if quick else 12.0
    name = "demo" if quick else "small"
    with torch.no_grad():
        title = "small generators, narrow" if quick else "small generators"
        rows = _rows("size", title, _sizes(device, quick), clock, 2 * seconds)
        backends = _backends(models.load(name), device)
        engine, title = backends["engine"], models.TITLES[name]
        rows += _rows("area", title, _areas(engine), clock, seconds, "line")
        rows += _rows("references", title, _references(engine), clock, seconds, "line")
        rows += _rows("batch", title, _batches(backends), clock, 2 * seconds)
        if device.type == "cpu" and (os.cpu_count() or 1) > 1:
            try:
                rows += _rows("threads", title, _threads(backends), clock, seconds)
            finally:
                torch.set_num_threads(threads)
    return {"scaling": rows}


def _sizes(device: torch.device, quick: bool) -> Points:
    """Small generators of every size, with the same widths at the same resolutions."""
    points: Points = {}
    table = {**dict(models.CONFIGS["demo"].channel_table), 256: 16} if quick else {}
    for size in _SIZES[quick]:
        model = recipe_model(Config(size=size, small_generator=True, channel_table=table))
        for name, backend in _backends(model, device).items():
            for operation in _STEPS:
                points[name, operation, size] = _player(backend, operation)
    return points


def _areas(engine: Backend) -> Points:
    """Percent of the image that the brush covers."""
    points: Points = {}
    for side in _SIDES:
        offset = (256 - side) // 2
        step = Step(0, (Part(1, ((offset, offset, side),), (4, -4)),))
        points["engine", "edit", round(100 * side**2 / 256**2, 1)] = _player(engine, "edit", step)
    return points


def _references(engine: Backend) -> Points:
    """Brushes of 48 side by side, each of another photo than the one before."""
    points: Points = {}
    for count in _REFERENCES:
        parts = [Part(1 + i % 3, ((8 + 62 * (i % 4), 40 + 90 * (i // 4), 48),), (4, 3)) for i in range(count)]
        points["engine", "edit", count] = _player(engine, "edit", Step(0, tuple(parts)))
    return points


def _batches(backends: Mapping[str, Backend]) -> Points:
    """Images decoded at once."""

    def player(backend: Backend, batch: int) -> Run:
        ws = torch.cat([backend.stylemaps[i % models.PHOTOS] for i in range(batch)])
        return lambda _: backend.decode_batch(ws)

    return {
        (name, "decode", batch): player(backend, batch)
        for name, backend in backends.items()
        for batch in _BATCHES
    }


def _threads(backends: Mapping[str, Backend]) -> Points:
    def with_threads(play: Run, count: int) -> Run:
        def run(number: int) -> None:
            torch.set_num_threads(count)
            play(number)

        return run

    return {
        (name, operation, count): with_threads(_player(backend, operation), count)
        for name, backend in backends.items()
        for operation in _STEPS
        for count in (1, 2, 4, 8, 16, 32, 64)
        if count <= (os.cpu_count() or 1)
    }


def _player(backend: Backend, kind: str, step: Step | None = None) -> Run:
    """Plays a step; an edit is moved every second time, because the engine reuses its last one."""
    step = step or _STEPS[kind]
    parts = [Part(p.photo, p.squares, (p.shift[0] + 3, p.shift[1])) for p in step.parts]
    steps = [step, Step(step.original, tuple(parts))]
    return lambda number: backend.play(kind, [steps[number % 2]])


def _backends(model: StyleMapGAN, device: torch.device) -> dict[str, Backend]:
    photos = Photos(model.config.size)
    plain = Plain(model).eval().to(device)
    return {
        "engine": Engine(model, "fp32", photos, device),
        "plain": Codes("plain PyTorch", "fp32", photos, plain, chunk=8, device=device),
    }


def _rows(
    axis: str, model: str, points: Points, clock: Clock, seconds: float, kind: str = "power"
) -> list[dict[str, Any]]:
    """All points in turns; a row for each backend and operation."""
    samples = interleave({repr(point): run for point, run in points.items()}, Budget(seconds, 5, 30), clock)
    curves: dict[tuple[str, str], dict[float, float]] = {}
    for backend, operation, x in points:
        median = samples[repr((backend, operation, x))].median
        curves.setdefault((backend, operation), {})[x] = rounded(median)
    rows = []
    for (backend, operation), curve in curves.items():
        row: dict[str, Any] = {
            "axis": axis,
            "model": model,
            "precision": "fp32",
            "backend": backend,
            "operation": operation,
        }
        slope = fit(list(curve), list(curve.values()), kind)[0]
        row |= {"x": list(curve), "ms": list(curve.values()), "fit": kind, "slope": rounded(slope, 3)}
        rows.append(row)
    return rows
