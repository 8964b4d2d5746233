"""Which of several equivalent kernels is fastest for a shape: measured once, remembered, logged.

A choice is made the first time a shape is met and kept for the process; with a file (`load`, `save`) for the
next one too. It cannot be made while a CUDA graph is captured: run the shape once before.
"""

from __future__ import annotations

import itertools
import json
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")
_log = logging.getLogger("stylemap.ops")

WARM_UP, REPEATS = 2, 7

#: "device | operator | shape" -> name of the implementation.
choices: dict[str, str] = {}


def run(
    op: str,
    key: tuple[Any, ...],
    device: torch.device,
    candidates: Mapping[str, Callable[[], T]],
    implementation: str = "auto",
) -> T:
    """The result of the named candidate, or for "auto" of the fastest.

    A candidate that raises ImportError or NotImplementedError takes no part in the choice.

    Raises ValueError for an unknown name, RuntimeError where a measurement would fall into a graph capture.
    """
    if implementation != "auto":
        if implementation not in candidates:
            raise ValueError(
                f"implementation must be auto or one of {', '.join(candidates)}, got {implementation!r}"
            )
        return candidates[implementation]()
    name = describe(op, key, device)
    if name not in choices:
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{name}: run this shape once before capturing a graph, so that its kernel can be chosen"
            )
        choices[name] = _fastest(name, device, candidates)
    return candidates[choices[name]]()


def describe(op: str, key: tuple[Any, ...], device: torch.device) -> str:
    """What a choice depends on, as text."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{machine} | {op} | {key}"


def save(path: Path) -> None:
    """Write the choices made so far, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(
        json.dumps({"torch": torch.__version__, "choices": choices}, indent=1, sort_keys=True)
    )
    temporary.replace(path)


def load(path: Path) -> None:
    """Take over the choices that `save` wrote under the same torch; others are ignored, and logged."""
    content = json.loads(path.read_text())
    if content.get("torch") != torch.__version__:
        _log.info("%s was measured with torch %s: measuring again", path, content.get("torch"))
        return
    choices.update(content["choices"])


def _fastest(name: str, device: torch.device, candidates: Mapping[str, Callable[[], Any]]) -> str:
    times: dict[str, float] = {}
    refusal: Exception | None = None
    for candidate, function in candidates.items():
        try:
            times[candidate] = _median_ms(function, device)
        except (ImportError, NotImplementedError) as error:
            refusal = error
            _log.info("%s: no %s: %s", name, candidate, error)
    if refusal is not None and not times:
        raise refusal
    best = min(times, key=lambda candidate: times[candidate])
    measured = ", ".join(f"{candidate} {ms:.3f} ms" for candidate, ms in times.items())
    _log.info("%s: %s, of %s", name, best, measured)
    return best


def _median_ms(function: Callable[[], Any], device: torch.device) -> float:
    for _ in range(WARM_UP):
        function()
    if device.type != "cuda":
        return statistics.median(_wall_ms(function) for _ in range(REPEATS))
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        function()
        mark.record()
    marks[-1].synchronize()
    return float(statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks)))


def _wall_ms(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)
