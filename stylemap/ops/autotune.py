"""Which of several equivalent kernels is fastest for a shape: measured once, remembered, logged.

A choice is made the first time a shape is met and kept for the process; with the file of this machine
(`recall`, `kept`) for the next one too, as long as GPU, torch, Triton and the kernels are the same. Choosing
takes seconds, and compiling the candidates first takes many: once per machine is enough. No choice can be
made while a CUDA graph is captured: run the shape once before. `tiles` has the tiles to choose from.

On a GPU a candidate is timed as it will run, inside a replayed graph: timed call by call, small kernels would
be ranked by how long their launch takes the host.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import json
import logging
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from stylemap import _build
from stylemap.files import write_whole

T = TypeVar("T")
_log = logging.getLogger("stylemap.ops")

WARM_UP, REPEATS = 2, 7
#: Of a candidate in the graph that is timed: enough for the graph's own launch not to count.
CALLS = 10

#: Relative difference of two right results at most: sums in another order, rounded to these.
DIFFERENCE: dict[torch.dtype | None, float] = {torch.float16: 5e-3, torch.bfloat16: 4e-2}

#: "device | operator | shape" -> name of the implementation.
choices: dict[str, str] = {}

_lock = threading.Lock()
_read: set[Path] = set()


def run(
    op: str,
    key: tuple[Any, ...],
    device: torch.device,
    candidates: Mapping[str, Callable[[], T]],
    implementation: str = "auto",
) -> T:
    """The result of the named candidate, or for "auto" of the fastest.

    A candidate that raises ImportError or NotImplementedError takes no part in the choice. Nor does one that
    fails otherwise or whose result is not that of the last candidate, which should be the best proven one:
    a warning is logged.

    Raises ValueError for an unknown name, RuntimeError where a measurement would fall into a graph capture.
    """
    if implementation != "auto":
        if implementation not in candidates:
            raise ValueError(
                f"implementation must be auto or one of {', '.join(candidates)}, got {implementation!r}"
            )
        return candidates[implementation]()
    name = describe(op, key, device)
    if choices.get(name) not in candidates:
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


@cache
def made_with() -> dict[str, str]:
    """What a measurement depends on beside the GPU, which `describe` names."""
    try:
        triton = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        triton = "none"
    return {"torch": torch.__version__, "triton": triton, "library": _build.fingerprint("cuda")}


def file() -> Path:
    """The file of this machine's choices; $STYLEMAP_CACHE or the user's cache folder holds it."""
    base = os.environ.get("STYLEMAP_CACHE")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylemap"
    return (Path(base) if base else folder) / "passes.json"


def recall() -> None:
    """Take over what the file holds, once per process; one that cannot be read is as none."""
    with _lock, contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if file() not in _read:
            _read.add(file())
            load(file())


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Write the file if choices are made inside."""
    before = len(choices)
    yield
    if len(choices) == before:
        return
    try:
        with _lock:
            save(file())
    except OSError as error:  # without a writable home the next process measures again
        _log.info("the choice of kernels is not kept: %s", error)


def save(path: Path) -> None:
    """Write the choices made so far, whole or not at all."""
    content = {"made_with": made_with(), "choices": choices}
    with write_whole(path) as target:
        target.write(json.dumps(content, indent=1, sort_keys=True).encode())


def load(path: Path) -> None:
    """Take over the choices that `save` wrote under the same `made_with`; others are ignored, and logged."""
    content = json.loads(path.read_text())
    now, then = made_with(), content.get("made_with") or {}
    changed = [name for name in now if then.get(name) != now[name]]
    if changed:
        _log.info("%s was measured with another %s: measuring again", path, " and ".join(changed))
        return
    choices.update(content["choices"])


def _fastest(name: str, device: torch.device, candidates: Mapping[str, Callable[[], Any]]) -> str:
    times: dict[str, float] = {}
    refusal: Exception | None = None
    proven: Any = None
    for candidate, function in reversed(list(candidates.items())):
        try:
            result = function()
            proven = result if proven is None else proven
            difference = _difference(result, proven)
            if difference > DIFFERENCE.get(_dtype(proven), 1e-3):
                raise ArithmeticError(f"its result is {difference:.1e} from the best proven one")
            times[candidate] = _median_ms(function, device)
        except (ImportError, NotImplementedError) as error:
            refusal = refusal or error
            _log.info("%s: no %s: %s", name, candidate, error)
        except Exception as error:  # compilers have their own kinds
            refusal = refusal or error
            _log.warning("%s: %s is left out: %s", name, candidate, error)
    if refusal is not None and not times:
        raise refusal
    best = min(times, key=lambda candidate: times[candidate])
    measured = ", ".join(f"{candidate} {ms:.3f} ms" for candidate, ms in times.items())
    _log.info("%s: %s, of %s", name, best, measured)
    return best


def _difference(result: Any, proven: Any) -> float:
    """The larger relative error of the first and the last tensor: a feature map, 1 / its deviation."""
    pairs = [pair for pair in zip(tree_leaves(result), tree_leaves(proven)) if isinstance(pair[0], Tensor)]
    found = [0.0]
    for actual, expected in pairs[:1] + pairs[-1:]:
        wide, exact = actual.double(), expected.double()
        error = float((wide - exact).norm() / exact.norm().clamp_min(1e-30)) if exact.numel() else 0.0
        found.append(error if error == error else math.inf)
    return max(found)


def _dtype(result: Any) -> torch.dtype | None:
    return next((leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, Tensor)), None)


def _median_ms(function: Callable[[], Any], device: torch.device) -> float:
    for _ in range(WARM_UP):
        function()
    if device.type != "cuda":
        return statistics.median(_wall_ms(function) for _ in range(REPEATS))
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(CALLS):
                function()
        graph.replay()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
        marks[0].record()
        for mark in marks[1:]:
            graph.replay()
            mark.record()
        marks[-1].synchronize()
    return float(statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks))) / CALLS


def _wall_ms(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)
