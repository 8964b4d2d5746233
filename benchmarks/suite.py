"""The whole suite: its parts one after the other, into one JSON, one HTML report and one Markdown table."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylemap.benchmarks import cold, edit, models, ratios, results, strokes
from stylemap.benchmarks.edit import Settings, say
from stylemap.benchmarks.rivals import NAMES, offered

PARTS = ("edit", "cold", "ops", "training", "scaling")
#: With the other parts, less than two minutes on two cores. torch.compile alone takes that to compile.
QUICK_DEMO = Settings(
    models=("demo",),
    backends=("engine", "published", "plain", "onnxruntime", "openvino"),
    seconds=0.35,
    least=3,
    most=40,
)
QUICK_256 = Settings(
    models=("small",),
    backends=("engine", "published"),
    scenarios=("paint_64",),
    precisions=("fp32",),
    seconds=1.0,
    least=2,
    most=20,
)
FULL_DEMO = Settings(models=("demo",))
#: All rivals together do not fit into memory at this size: each group takes turns with the engine.
FULL_256 = (
    Settings(models=("full",), backends=("engine", "published", "plain", "compile")),
    Settings(
        models=("full",), backends=("engine", "onnxruntime", "openvino"), scenarios=edit.RIVAL_SCENARIOS
    ),
    Settings(models=("full",), backends=("engine", "ncnn"), scenarios=edit.NCNN_SCENARIOS),
)
FULL_SMALL = Settings(models=("small",), backends=("engine", "published", "plain", "openvino", "ncnn"))
#: At this size a rival takes seconds for a frame, and 24 GiB do not hold the published formulation too.
FULL_1024 = Settings(
    models=("1024",),
    backends=("engine", "plain"),
    scenarios=("open", "encode", "decode", "paint_64", "paint_128_many", "drag", "slider", "mix"),
    least=2,
    together=False,
)


@dataclass(frozen=True)
class Run:
    """What the command line asks for.

    settings: instead of the suite's own, of the part "edit". isolated: its groups in processes of their own.
    """

    command: str
    device: torch.device
    threads: int
    quick: bool = False
    parts: tuple[str, ...] = PARTS
    settings: Settings | None = None
    isolated: bool = False


def run(asked: Run, keep: Callable[[dict[str, Any]], object] | None = None) -> dict[str, Any]:
    """The document of a run; what goes wrong in one part is recorded, and the others still run.

    keep: gets the document as far as it is, whenever a group or a part is done: a system that runs out of
    memory ends the process without asking.
    """
    start = time.monotonic()
    torch.set_num_threads(asked.threads)
    content: dict[str, Any] = {"skipped": []}

    def done() -> None:
        if keep is not None:
            keep(_document(asked, content, start))

    if "edit" in asked.parts:
        _run_edit(asked, content, done)
    if "cold" in asked.parts:
        content["cold"] = _cold(asked, content["skipped"])
        done()
    for part in ("ops", "training", "scaling"):
        if part in asked.parts:
            say(f"{part}:")
            _run_part(part, asked, content)
            done()
    return _document(asked, content, start)


def _document(asked: Run, content: Mapping[str, Any], start: float) -> dict[str, Any]:
    settings = {
        "quick": asked.quick,
        "parts": list(asked.parts),
        "seed": strokes.SEED,
        "script_digest": strokes.digest(list(strokes.SCENARIOS)),
    }
    return results.document(
        content, command=asked.command, settings=settings, device=asked.device, start=start
    )


def edit_settings(asked: Run) -> list[Settings]:
    if asked.settings is not None:
        chosen = [asked.settings]
    elif asked.quick:
        chosen = [QUICK_DEMO, QUICK_256]
    else:
        chosen = [FULL_DEMO, *FULL_256, FULL_SMALL, FULL_1024]
    if asked.device.type == "cuda":
        chosen = [replace(each, precisions=("fp32", "bf16", "fp16")) for each in chosen]
    return [replace(each, device=asked.device, threads=asked.threads) for each in chosen]


def chosen(given: Mapping[str, Any], quick: bool) -> Settings:
    """The settings of `bench edit` with some of them named.

    Raises:
        ValueError: a name that there is not.
    """
    known = {
        "models": tuple(models.CONFIGS),
        "precisions": ("fp32", "bf16", "fp16"),
        "backends": NAMES,
        "scenarios": tuple(strokes.SCENARIOS),
    }
    for field, names in known.items():
        for name in given.get(field, ()):
            if name not in names:
                raise ValueError(f"--{field}: {name!r} is none of {', '.join(names)}")
    base = replace(QUICK_DEMO, scenarios=tuple(strokes.SCENARIOS)) if quick else Settings()
    return replace(base, **given)


def _run_edit(asked: Run, content: dict[str, Any], done: Callable[[], None]) -> None:
    content |= {"ratios": [], "edit": [], "stages": []}
    for settings in edit_settings(asked):
        found = apart(group, settings) if asked.isolated else group(settings)
        # Of what was timed in several groups, the first counts; ratios are of one group each.
        add_new(content["ratios"], ratios.ratio_rows(found.rows))
        add_new(content["edit"], found.rows)
        add_new(content["stages"], found.stages)
        content["skipped"] += [line for line in found.skipped if line not in content["skipped"]]
        content["ratios"].sort(key=lambda row: "target" not in row)
        done()


def group(settings: Settings) -> edit.Result:
    """One group; what goes wrong is in its result: others take long enough to be worth keeping."""
    torch.set_num_threads(settings.threads)
    found = edit.Result()
    try:
        edit.run(settings, found)
    except (RuntimeError, OSError, MemoryError) as error:
        found.skip(f"{', '.join(settings.models)}: {' '.join(str(error).split())[:200]}")
    return found


def apart(measure: Callable[[Settings], edit.Result], settings: Settings) -> edit.Result:
    """The same in a process that gives back all its memory: rivals keep much of theirs (6 GB of the groups
    before, at 1024). If the system ends it, this group alone is lost."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, settings).result()
        except BrokenProcessPool:
            found = edit.Result()
            found.skip(f"{', '.join(settings.models)}: the process was ended, for want of memory most likely")
            return found


def again(
    asked: Run,
    before: Mapping[str, Any],
    of: Sequence[str] = tuple(models.CONFIGS),
    keep: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """A document with those groups of its part "edit" measured again in which something could not be told.

    of: models whose groups may be.

    Everything else stays as it is; ``again`` lists what was measured anew, and on which commit.

    Raises:
        ValueError: the document is of another machine, or there is nothing to measure again.
    """
    for name in of:
        if name not in models.CONFIGS:
            raise ValueError(f"--again: {name!r} is none of {', '.join(models.CONFIGS)}")
    start = time.monotonic()
    torch.set_num_threads(asked.threads)
    content: dict[str, Any] = copy.deepcopy(dict(before))
    here = results.document({}, command=asked.command, settings={}, device=asked.device, start=start)
    _check_same(content["machine"], here["machine"])
    known: set[tuple[Any, ...]] = set()
    nothing = True
    for settings in edit_settings(asked):
        rows = [
            row for row in content.get("edit", []) if _is_of(settings, row) and identity(row) not in known
        ]
        own = {identity(row) for row in rows}
        known |= own
        # Of rows that were timed in turns; those of a group without its engine's follow the run's own.
        _replace(content["ratios"], ratios.ratio_rows(rows))
        unsure = [row for row in rows if row["status"] == "unsteady"]
        unsure += [
            row
            for row in content.get("ratios", [])
            if row.get("status") == "unsure"
            and row["model"] in settings.models
            and {row["slow"]["backend"], row["fast"]["backend"]} <= set(settings.backends)
        ]
        name = f"{', '.join(settings.models)}: "
        rivals = any(row["backend"] != "engine" for row in rows)
        lost = not rivals and any(line.startswith(name) for line in content["skipped"])
        if not (unsure or lost) or not set(settings.models) & set(of):
            continue
        nothing = False
        found = apart(group, settings) if asked.isolated else group(settings)
        if not found.rows:
            say(f"kept as it was: {', '.join(found.skipped)}")
            continue
        kept = [line for line in content["skipped"] if not line.startswith(name)]
        content["skipped"] = kept + [line for line in found.skipped if line not in kept]
        # Rows that belong to an earlier group stay as that one measured them.
        newer = [row for row in found.rows if identity(row) in own or identity(row) not in known]
        for part, rows in (
            ("edit", newer),
            ("ratios", ratios.ratio_rows(found.rows)),
            ("stages", found.stages),
        ):
            _replace(content[part], rows)
            add_new(content[part], rows)
        content["ratios"].sort(key=lambda row: "target" not in row)
        entry = {key: here[key] for key in ("command", "date")}
        entry |= {key: here["machine"][key] for key in ("commit", "changed") if key in here["machine"]}
        entry |= {"models": list(settings.models), "backends": list(settings.backends)}
        content.setdefault("again", []).append(entry)
        if keep is not None:
            keep(content)
    if nothing:
        raise ValueError("there is nothing to measure again: everything could be told")
    return content


def _check_same(before: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for name in ("cpu", "device", "cores", "threads", "instructions", "torch", "packages"):
        if before.get(name) != here.get(name):
            raise ValueError(
                f"what was measured elsewhere cannot be measured again here: {name} was {before.get(name)}, "
                f"is {here.get(name)}"
            )


def _is_of(settings: Settings, row: Mapping[str, Any]) -> bool:
    return (
        row["model"] in settings.models
        and row["backend"] in settings.backends
        and row["scenario"] in settings.scenarios
    )


def _replace(rows: list[dict[str, Any]], newer: Sequence[dict[str, Any]]) -> None:
    """Put rows in the place of those about the same."""
    found = {identity(row): row for row in newer}
    rows[:] = [found.get(identity(row), row) for row in rows]


def add_new(rows: list[dict[str, Any]], more: Sequence[dict[str, Any]]) -> None:
    """Append the rows that are about something new."""
    known = {identity(row) for row in rows}
    rows += [row for row in more if identity(row) not in known]


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is about, without what was measured."""
    names = ("model", "precision", "backend", "scenario", "name", "axis", "operation", "case", "direction")
    return tuple(row.get(name) for name in names)


def _run_part(part: str, asked: Run, content: dict[str, Any]) -> None:
    module = importlib.import_module(f"stylemap.benchmarks.part_{part}")
    try:
        content |= module.run(asked.device, asked.threads, asked.quick)
    except (RuntimeError, OSError, ImportError) as error:
        content["skipped"].append(f"{part}: {' '.join(str(error).split())[:200]}")
        say(content["skipped"][-1])


def _cold(asked: Run, skipped: list[str]) -> list[dict[str, Any]]:
    """A process for each model, backend and precision; quick: of the first models alone."""
    say("cold starts:")
    rows: list[dict[str, Any]] = []
    for settings in edit_settings(asked)[: 1 if asked.quick else None]:
        for model in settings.models:
            for backend in settings.backends:
                for precision in settings.precisions:
                    known = any(
                        (r["model"], r["backend"], r["precision"]) == (model, backend, precision)
                        for r in rows
                    )
                    if known or not _starts_cold(model, backend, precision, asked.device):
                        continue
                    try:
                        row = cold.measure(model, precision, backend, str(asked.device), asked.threads)
                    except cold.ColdError as error:
                        skipped.append(f"cold start: {error}")
                        say(skipped[-1])
                        continue
                    rows.append(row)
                    say(
                        f"  {model:>5} {precision} {backend:12} ready after {row['ready_s']:.1f} s,"
                        f" at most {row['peak_mib']:.0f} MiB"
                    )
    return rows


def _starts_cold(model: str, backend: str, precision: str, device: torch.device) -> bool:
    """The engine always; two rivals with one model."""
    if backend == "engine":
        return offered(backend, precision, device)
    return backend in ("plain", "compile") and (model, precision) in (("full", "fp32"), ("demo", "fp32"))


def write(content: dict[str, Any], folder: Path) -> Sequence[Path]:
    """bench.json, bench.html, bench.md in a folder; what was written."""
    from stylemap.benchmarks import report

    return [results.write(content, folder / "bench.json"), *report.write(content, folder)]
