"""``stylemap bench edit``: what a person waits for while editing, in every backend, in turns."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from stylemap.benchmarks import models, summary
from stylemap.benchmarks.backends import Backend, Engine, Photos, to_bytes
from stylemap.benchmarks.rivals import LABELS, NAMES, Makers, Missing, offered
from stylemap.benchmarks.stages import stage_times
from stylemap.benchmarks.strokes import SCENARIOS, script
from stylemap.benchmarks.timing import Budget, Clock, Run, Samples, interleave
from stylemap.benchmarks.truth import RIVAL_TOLERANCE, STEP, TOLERANCE, Truth, proof_of, relative_error

#: A frame costs a rival the same whatever is edited: it is timed in these, the engine in all.
RIVAL_SCENARIOS = ("open", "encode", "decode", "paint_64", "paint_128_many", "batch_8")
#: A request is what a user of the published demo waits for. ncnn's stylecodes are made in PyTorch.
NCNN_SCENARIOS = ("encode", "decode", "paint_64", "paint_128_many")
_OWN_SCENARIOS = {"published": ("encode", "decode", "paint_64", "request"), "ncnn": NCNN_SCENARIOS}
#: The others are built for single images.
BATCHED = ("plain", "openvino")
#: Error of what gave no result; a number, as JSON has no infinity.
FAILED = 1e9
#: Seconds. ncnn's threads wait for more work in a loop for 20 ms.
SPINS = {"ncnn": 0.025}
#: The stroke that all backends are compared by gets time for a 99th percentile.
LONG = {"paint_64": 5.0}


@dataclass(frozen=True)
class Settings:
    """What to time.

    seconds: for each scenario of each model and precision, all backends together. together: all precisions
    in turns, else one after the other, which takes less memory.
    """

    models: tuple[str, ...] = ("demo", "full", "small", "1024")
    precisions: tuple[str, ...] = ("fp32", "bf16")
    backends: tuple[str, ...] = NAMES
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    seconds: float = 8.0
    least: int = 5
    most: int = 300
    threads: int = 2
    together: bool = True
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def turns(self) -> list[tuple[str, ...]]:
        """Precisions that are timed in turns."""
        return [self.precisions] if self.together else [(precision,) for precision in self.precisions]


@dataclass
class Result:
    """Rows as schema.json describes them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def skip(self, why: str) -> None:
        """Record, once, why something was left out."""
        if why not in self.skipped:
            self.skipped.append(why)
            say(f"left out: {why}")


def run(settings: Settings, result: Result) -> None:
    """All models, one after the other; all backends and precisions of one in turns. Adds to ``result``."""
    clock = Clock(settings.device)
    with torch.no_grad():
        for name in settings.models:
            say(f"{models.TITLES[name]}:")
            model = models.load(name)
            photos = Photos(model.config.size)
            makers = Makers(model, photos, settings.device, settings.threads)
            try:
                start = time.perf_counter()
                truth = Truth(model, photos.tensors, settings.scenarios, settings.device)
                say(f"  eager float64 to compare with: {time.perf_counter() - start:.1f} s")
                for precisions in settings.turns:
                    part = replace(settings, precisions=precisions)
                    _play_all(name, ready(part, makers, result), truth, part, clock, result)
                    gc.collect()
            finally:
                makers.close()
            del truth, makers
            torch._dynamo.reset()
            gc.collect()


def ready(settings: Settings, makers: Makers, result: Result) -> list[tuple[str, Backend]]:
    """The backends that this machine has, in every precision they have."""
    found = []
    for name in settings.backends:
        for precision in settings.precisions:
            if not offered(name, precision, settings.device):
                continue
            start = time.perf_counter()
            try:
                found.append((name, makers(name, precision)))
            except Missing as missing:
                result.skip(str(missing))
                break
            except Exception as failure:
                # A rival that does not work here must not end the run.
                if name == "engine":
                    raise
                result.skip(f"{LABELS[name]} {precision}: {_one_line(failure)}")
                continue
            say(f"  {LABELS[name]} {precision}: ready in {time.perf_counter() - start:.1f} s")
    return found


def _play_all(
    model: str,
    backends: Sequence[tuple[str, Backend]],
    truth: Truth,
    settings: Settings,
    clock: Clock,
    result: Result,
) -> None:
    errors: dict[tuple[str, str, str], float] = {}
    for scenario in settings.scenarios:
        rows: dict[str, dict[str, Any]] = {}
        runs: dict[str, Run] = {}
        for name, backend in backends:
            if not takes_part(name, scenario):
                continue
            key = name, backend.precision, proof_of(scenario)
            if key not in errors:
                errors[key] = _checked(name, backend, key[2], truth, result)
            row: dict[str, Any] = {
                "model": model,
                "precision": backend.precision,
                "scenario": scenario,
                "backend": name,
                "error": float(f"{min(errors[key], FAILED):.2g}"),
                "tolerance": tolerance(backend),
                "status": "wrong",
            }
            label = f"{name} {backend.precision}"
            rows[label] = row
            if errors[key] <= tolerance(backend):
                runs[label] = player(backend, scenario)
        if runs:
            timed = interleave(runs, _budget(scenario, runs, settings), clock)
            for label, samples in timed.items():
                rows[label] |= timed_row(samples, SCENARIOS[scenario].images)
        for row in rows.values():
            say(line(row))
        result.rows += rows.values()
    wrong = {(row["backend"], row["precision"]) for row in result.rows if row["status"] == "wrong"}
    for name, backend in backends:
        if isinstance(backend, Engine) and (name, backend.precision) not in wrong:
            times = stage_times(model, backend, settings.scenarios, settings.most, settings.device)
            result.stages += times


def _budget(scenario: str, runs: Mapping[str, Run], settings: Settings) -> Budget:
    leaders = tuple(label for label in runs if label.startswith("engine"))
    spins = {label: seconds for label in runs for name, seconds in SPINS.items() if label.startswith(name)}
    return Budget(settings.seconds * LONG.get(scenario, 1.0), settings.least, settings.most, leaders, spins)


def takes_part(backend: str, scenario: str) -> bool:
    """Whether a backend is timed in a scenario."""
    if backend == "engine":
        return True
    if scenario.startswith("batch") and backend not in BATCHED:
        return False
    return scenario in _OWN_SCENARIOS.get(backend, RIVAL_SCENARIOS)


def _checked(name: str, backend: Backend, scenario: str, truth: Truth, result: Result) -> float:
    """The error of a backend; infinite where a rival fails."""
    try:
        return check(backend, scenario, truth)
    except Exception as failure:
        if name == "engine":
            raise
        result.skip(f"{LABELS[name]} {backend.precision}, {scenario}: {_one_line(failure)}")
        return FAILED


def check(backend: Backend, scenario: str, truth: Truth) -> float:
    """Relative error of the step that is compared."""
    step = script(scenario)[STEP.get(scenario, 0)]
    return relative_error(backend.play(SCENARIOS[scenario].kind, [step]).float(), truth(scenario))


def tolerance(backend: Backend) -> float:
    """Largest relative error with which a backend is timed."""
    return (TOLERANCE if backend.ours else RIVAL_TOLERANCE)[backend.precision]


def player(backend: Backend, scenario: str) -> Run:
    """Plays step i to the bytes of its images; to a stylemap where there are none."""
    steps = script(scenario)
    kind, count = SCENARIOS[scenario].kind, SCENARIOS[scenario].images if "batch" in scenario else 1

    def play(number: int) -> object:
        chosen = [steps[(number * count + i) % len(steps)] for i in range(count)]
        result = backend.play(kind, chosen)
        return result if kind in ("open", "encode") else to_bytes(result)

    return play


def timed_row(samples: Samples, images: int) -> dict[str, Any]:
    """The measured part of a row."""
    values = [summary.rounded(value) for value in samples.milliseconds]
    return {**summary.latency(samples.milliseconds, images), "stride": samples.stride, "milliseconds": values}


def line(row: dict[str, Any]) -> str:
    """A row as a line of progress."""
    head = f"  {row['model']:>5} {row['precision']} {row['scenario']:15} {row['backend']:12}"
    if row["status"] == "wrong":
        return f"{head} wrong: error {row['error']:.1e}, {row['tolerance']:.0e} allowed"
    if row["status"] == "noisy":
        return f"{head} too noisy to report: the middle half spreads over {row['spread']:.0%} of the median"
    if row["status"] == "few":
        return f"{head} too few samples to report: {len(row['milliseconds'])}"
    return (
        f"{head} {row['p50']:9.2f} ms, {row['fps']:8.2f} images/s, "
        f"{len(row['milliseconds'])} runs, spread {row['spread']:.0%}"
    )


def _one_line(failure: Exception) -> str:
    return f"{type(failure).__name__}: {' '.join(str(failure).split())[:160]}"


def say(text: str) -> None:
    """A line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)
