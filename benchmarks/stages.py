"""Where the time of a frame goes: mask, blend and ring, γ and β, main path, image bytes."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import torch

from stylemap.benchmarks.backends import Engine, to_bytes
from stylemap.benchmarks.strokes import script
from stylemap.benchmarks.summary import rounded
from stylemap.benchmarks.timing import synchronize

#: Stages of a frame in their order, and how reports name them.
STAGES = {
    "mask": "mask",
    "blend": "blend, paste",
    "modulation": "γ, β",
    "main path": "main path",
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
        """What runs inside counts for this stage."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]] += 1e3 * (now - self._since)
        self._since = now


@contextlib.contextmanager
def watched(engine: Engine, watch: Stopwatch) -> Iterator[None]:
    """The stages inside the engine, measured while this lasts."""
    renderer = engine.session.renderer
    before, renderer.stage = renderer.stage, watch.stage
    try:
        yield
    finally:
        renderer.stage = before


def stage_times(
    model: str, engine: Engine, scenarios: Collection[str], most: int, device: torch.device
) -> list[dict[str, Any]]:
    """A row for every scenario that is split: medians over the first steps of its script."""
    found = []
    for scenario in [name for name in ("paint_64", "paint_128_many") if name in scenarios]:
        taken: dict[str, list[float]] = defaultdict(list)
        for step in script(scenario)[: max(5, min(30, most // 4)) + 1]:
            watch = Stopwatch(device)
            with watched(engine, watch), watch.stage("rest"):
                images = engine.edit(step)
                with watch.stage("bytes"):
                    to_bytes(images)
            for stage in STAGES:
                taken[stage].append(watch.spent.get(stage, 0.0))
        # The first one warms up.
        medians = {stage: statistics.median(values[1:]) for stage, values in taken.items()}
        row = {"model": model, "precision": engine.precision, "backend": "engine", "scenario": scenario}
        found.append({**row, "stages": {stage: rounded(ms) for stage, ms in medians.items() if ms > 0}})
    return found
