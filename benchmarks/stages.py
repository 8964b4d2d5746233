"""Where the time of a frame goes: mask, blend and ring, γ and β, main path, image bytes."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any
from unittest import mock

import torch

from stylemap.benchmarks.backends import Backend, Codes, Engine, to_bytes
from stylemap.benchmarks.strokes import script

STAGES = ("mask", "blend", "modulation", "main path", "network", "bytes", "rest")
TITLES = {
    "mask": "mask",
    "blend": "blend, paste",
    "modulation": "γ, β",
    "main path": "main path",
    "network": "γ, β and main path",
    "bytes": "to bytes",
    "rest": "rest",
}


class Stopwatch:
    """Milliseconds by stage. Stages may lie in each other: time counts for the innermost."""

    def __init__(self, device: torch.device) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return call

    def _turn(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]] += 1e3 * (now - self._since)
        self._since = now


@contextlib.contextmanager
def watched(backend: Backend, watch: Stopwatch) -> Iterator[None]:
    """The stages inside a backend, measured while this lasts."""
    with contextlib.ExitStack() as stack:
        if isinstance(backend, Engine):
            stack.enter_context(mock.patch.object(backend.session.renderer, "stage", watch.stage))
        elif isinstance(backend, Codes):
            stack.enter_context(_patched(watch, backend, "blend", "blend"))
            stack.enter_context(_patched(watch, backend, "_synthesize", "network"))
        yield


def stage_times(
    model: str, name: str, backend: Backend, scenarios: Collection[str], most: int, device: torch.device
) -> list[dict[str, Any]]:
    """A row for every scenario that is split: medians over the first steps of its script."""
    found = []
    for scenario in ("paint_64", "paint_128_many"):
        if scenario not in scenarios:
            continue
        steps = script(scenario)
        if name != "engine" and scenario != "paint_64":
            continue
        count = max(3, min(30, most // 4)) if name == "engine" else 1
        taken: dict[str, list[float]] = defaultdict(list)
        for step in steps[: count + 1]:
            watch = Stopwatch(device)
            with watched(backend, watch), watch.stage("rest"):
                images = backend.edit(step)
                with watch.stage("bytes"):
                    to_bytes(images)
            for stage in STAGES:
                taken[stage].append(watch.spent.get(stage, 0.0))
        # The first one warms up.
        medians = {stage: statistics.median(values[1:]) for stage, values in taken.items()}
        row = {"model": model, "precision": backend.precision, "backend": name, "scenario": scenario}
        found.append(
            {**row, "stages": {stage: float(f"{ms:.4g}") for stage, ms in medians.items() if ms > 0}}
        )
    return found


def _patched(watch: Stopwatch, owner: Any, attribute: str, stage: str) -> Any:
    return mock.patch.object(owner, attribute, watch.wrapped(stage, getattr(owner, attribute)))
