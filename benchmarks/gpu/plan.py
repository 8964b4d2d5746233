"""The GPU plan in fp16 at batch 1: decode, cached edit, encode, whole and by layers, against torch.compile.

Every result is compared with the model in float64 first. "replay" is the CUDA graph alone; "call" is the
method with its copies; "stroke" is, by the host's clock, an edit with a new mask until its image is there.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from stylemap.benchmarks import edit, models
from stylemap.benchmarks.backends import CACHE_BYTES, Engine, Photos
from stylemap.benchmarks.gpu import layers
from stylemap.benchmarks.gpu.operators import peaks
from stylemap.benchmarks.gpu.steps import write
from stylemap.benchmarks.rivals import LABELS, Makers
from stylemap.benchmarks.strokes import script
from stylemap.benchmarks.tables import markdown
from stylemap.benchmarks.timing import Clock, compare, synchronize
from stylemap.benchmarks.truth import Truth
from stylemap.engine.gpu.capture import CapturedGraph
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer

#: Milliseconds of a replay on an H200.
TARGETS = {"full": {"decode": 0.95, "edit": 0.30, "encode": 0.25}, "1024": {"edit": 1.3}}
#: What is measured, and the scenario whose first step it plays.
RUNS = {"decode": "decode", "edit": "paint_64", "encode": "encode"}


@torch.no_grad()
def measure(name: str, precision: str, clock: Clock, peak: dict[str, float]) -> Iterator[dict[str, Any]]:
    """The result so far after every measurement: ours first, then layers, then what takes long to compile."""
    model = models.load(name)
    photos = Photos(model.config.size)
    truth = Truth(model, photos.tensors, RUNS.values(), clock.device)
    plan = GpuPlan(model, clock.device, precision)
    cached = torch.float32 if precision == "fp32" else torch.float16
    renderer = GpuRenderer(plan, CACHE_BYTES, cached)
    engine = Engine(model, precision, photos, clock.device, renderer)
    result: dict[str, Any] = {
        "errors": {what: edit.check(engine, scenario, truth) for what, scenario in RUNS.items()}
    }
    wrong = [what for what, error in result["errors"].items() if not error <= edit.tolerance(engine)]
    if wrong:
        yield result | {"failure": f"wrong: {', '.join(wrong)}"}
        return
    graphs, rows = _graphs(plan, renderer), dict[str, dict[str, Any]]()
    for what, scenario in RUNS.items():
        play = partial(engine.play, scenario if what != "edit" else "edit", script(scenario)[:1])
        rows[what] = _medians({"replay": graphs[what], "call": play}, clock)
        target = TARGETS.get(name, {}).get(what)
        met = None if target is None else rows[what]["replay"] <= target
        rows[what] |= {"graph": graphs[what].captured, "target_ms": target, "met": met}
    rows["edit"]["stroke"] = _stroke_ms(engine, clock.device)
    result |= {"rows": rows, "layers": {}}
    yield result
    for what, graph in graphs.items():
        result["layers"][what] = layers.profile(partial(graph.function, *graph.inputs), clock, peak)
        yield result
    makers = Makers(model, photos, clock.device, torch.get_num_threads())
    rival = makers("compile" if clock.device.type == "cuda" else "plain", precision)
    # Without a session, an edit is a decode: all take turns.
    for what, others in (("decode", ("decode", "edit")), ("encode", ("encode",))):
        try:
            error = edit.check(rival, what, truth)
            play = partial(rival.play, what, script(what)[:1])
            ms = _medians({each: graphs[each] for each in others} | {"rival": play}, clock)
        except RuntimeError as failure:
            rows[what]["rival"] = repr(failure)[:200]
        else:
            for each in others:
                rows[each] |= {"rival": ms["rival"], "beside": ms[each], "speedup": ms["rival"] / ms[each]}
            rows[what] |= {"rival_name": LABELS["compile"], "rival_error": error}
        yield result


def _graphs(plan: GpuPlan, renderer: GpuRenderer) -> dict[str, CapturedGraph]:
    """Those of what has run."""
    edits = [graph for key, graph in renderer.graphs.by_key.items() if key != "image"]
    own = plan.graphs.by_key
    return {"decode": own["decode", 1], "edit": edits[-1], "encode": own["encode", 1]}


def _stroke_ms(engine: Engine, device: torch.device) -> float:
    """Host milliseconds from a new mask to the finished image, median."""
    times = []
    for step in itertools.islice(script("stroke"), 20):
        engine.photos.masks(step)
        synchronize(device)
        start = time.perf_counter()
        engine.edit(step)
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def _medians(runs: Mapping[str, Callable[[], Any]], clock: Clock) -> dict[str, Any]:
    return {name: samples.median for name, samples in compare(runs, clock).items()}


def table(content: dict[str, Any]) -> str:
    """Markdown, a line per model and run."""
    lines = []
    for name, result in content["models"].items():
        for what, row in result.get("rows", {}).items():
            rival = row.get("rival", "")
            rival = f"{rival:.3f}" if isinstance(rival, float) else rival
            goal = row["target_ms"] and f"{row['target_ms']} {'met' if row['met'] else 'MISSED'}"
            lines.append([name, what, f"{row['replay']:.3f}", f"{row['call']:.3f}", rival, goal or ""])
    return markdown(["model", "run", "replay ms", "call ms", "torch.compile ms", "target"], lines)


def run(output: Path, seconds: float, device: str, tiny: bool) -> None:
    """Measure all models; none is begun after ``seconds``. Writes after every measurement."""
    start, clock = time.monotonic(), Clock(torch.empty(0, device=device).device)
    content: dict[str, Any] = {"peaks": peaks(clock, tiny=tiny), "models": {}}
    for name in ("tiny",) if tiny else ("full", "1024"):
        found = content["models"].setdefault(name, {})
        if time.monotonic() - start > seconds:
            found["skipped"] = "no time left"
            continue
        try:
            for result in measure(name, "fp32" if tiny else "fp16", clock, content["peaks"]):
                found |= result
                write(content, output)
        except Exception as failure:  # what was measured before stays
            found["failure"] = repr(failure)[:300]
    write(content, output)
    for name, result in content["models"].items():
        for what, rows in result.get("layers", {}).items():
            print(f"\n{name}, {what}", layers.table(rows), sep="\n\n")
    print("", table(content), sep="\n")
