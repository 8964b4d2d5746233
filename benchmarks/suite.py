"""The whole suite: its parts one after the other, into one JSON document and its report."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import torch

from stylemap.benchmarks import cold, edit, models, ratios, results, strokes
from stylemap.benchmarks.edit import Settings, say
from stylemap.benchmarks.rivals import NAMES, offered

#: Parts of a run without a part named, and the module of each but "edit" and "cold".
PARTS = ("edit", "cold", "ops", "training", "scaling")
MODULES = {"ops": "operators", "training": "training", "scaling": "scaling"}
#: With the other parts, two minutes on two quiet cores. torch.compile alone takes that to compile.
QUICK = (
    Settings(
        models=("demo",),
        backends=("engine", "published", "plain", "onnxruntime", "openvino"),
        seconds=0.35,
        most=40,
    ),
    Settings(
        models=("small",),
        backends=("engine", "published"),
        scenarios=("paint_64",),
        precisions=("fp32",),
        seconds=1.0,
        most=20,
    ),
)
#: At 256 all rivals together do not fit into memory: each group takes turns with the engine.
FULL = (
    Settings(models=("demo",)),
    *(
        Settings(models=(model,), backends=("engine", *rivals), scenarios=scenarios)
        for model in ("full", "small")
        for rivals, scenarios in (
            (("published", "plain", "compile"), tuple(strokes.SCENARIOS)),
            (("onnxruntime", "openvino"), edit.RIVAL_SCENARIOS),
            (("ncnn",), edit.NCNN_SCENARIOS),
        )
    ),
    # A rival takes seconds for a frame, and 24 GiB do not hold the published formulation.
    Settings(
        models=("1024",),
        backends=("engine", "plain"),
        scenarios=("open", "encode", "decode", "paint_64", "paint_128_many", "drag", "slider", "mix"),
        together=False,
    ),
)


@dataclass(frozen=True)
class Run:
    """What the command line asks for.

    settings: of the part "edit", instead of the suite's own. isolated: its groups in processes of their own.
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

    keep: gets the document so far whenever a group or a part is done, because a system without memory ends
    the process without notice.
    """
    start = time.monotonic()
    torch.set_num_threads(asked.threads)
    content: dict[str, Any] = {"skipped": []}

    def document() -> dict[str, Any]:
        settings = {
            "quick": asked.quick,
            "parts": list(asked.parts),
            "seed": strokes.SEED,
            "script_digest": strokes.digest(list(strokes.SCENARIOS)),
        }
        return results.document(
            content, command=asked.command, settings=settings, device=asked.device, start=start
        )

    for _ in _measured(asked, content):
        if keep is not None:
            keep(document())
    return document()


def _measured(asked: Run, content: dict[str, Any]) -> Iterator[None]:
    """Measure into ``content``; yields after every group and part."""
    if "edit" in asked.parts:
        for settings in edit_groups(asked):
            _merge(content, apart(group, settings) if asked.isolated else group(settings))
            yield
    if "cold" in asked.parts:
        content["cold"] = _cold(asked, content["skipped"])
        yield
    for part, name in MODULES.items():
        if part in asked.parts:
            say(f"{part}:")
            module = importlib.import_module(f"stylemap.benchmarks.{name}")
            try:
                content |= module.run(asked.device, asked.threads, asked.quick)
            except (RuntimeError, OSError, ImportError, ValueError) as error:
                content["skipped"].append(f"{part}: {_one_line(error)}")
                say(content["skipped"][-1])
            yield


def edit_groups(asked: Run) -> list[Settings]:
    """The groups of the part "edit"."""
    groups = (asked.settings,) if asked.settings else QUICK if asked.quick else FULL
    if asked.device.type == "cuda":
        groups = tuple(replace(each, precisions=("fp32", "bf16", "fp16")) for each in groups)
    return [replace(each, device=asked.device, threads=asked.threads) for each in groups]


def chosen(given: Mapping[str, Any], quick: bool) -> Settings:
    """The settings of `bench edit` with some of them named.

    Raises:
        ValueError: an unknown name.
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
    base = replace(QUICK[0], scenarios=tuple(strokes.SCENARIOS)) if quick else Settings()
    return replace(base, **given)


def group(settings: Settings) -> edit.Result:
    """One group; a failure is recorded in the result, with the rows measured before it."""
    torch.set_num_threads(settings.threads)
    found = edit.Result()
    try:
        edit.run(settings, found)
    except (RuntimeError, OSError, MemoryError) as error:
        found.skip(f"{', '.join(settings.models)}: {_one_line(error)}")
    return found


def apart(measure: Callable[[Settings], edit.Result], settings: Settings) -> edit.Result:
    """The same in a process of its own: without memory the system ends it, and this group alone is lost."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, settings).result()
        except BrokenProcessPool:
            found = edit.Result()
            found.skip(f"{', '.join(settings.models)}: the process was ended, probably for lack of memory")
            return found


def _merge(content: dict[str, Any], found: edit.Result) -> None:
    """Add a group's rows. Of what several groups timed, the first counts; ratios are within a group."""
    for part, rows in (
        ("ratios", ratios.ratio_rows(found.rows)),
        ("edit", found.rows),
        ("stages", found.stages),
    ):
        kept = content.setdefault(part, [])
        known = {identity(row) for row in kept}
        kept += [row for row in rows if identity(row) not in known]
    content["ratios"].sort(key=lambda row: "target" not in row)
    content["skipped"] += [line for line in found.skipped if line not in content["skipped"]]


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is about, without what was measured."""
    return tuple(row.get(name) for name in ("model", "precision", "backend", "scenario", "name"))


def _cold(asked: Run, skipped: list[str]) -> list[dict[str, Any]]:
    """A process for each model, backend and precision; quick: of the first model alone."""
    say("cold starts:")
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for settings in edit_groups(asked)[: 1 if asked.quick else None]:
        for model in settings.models:
            for backend in settings.backends:
                for precision in settings.precisions:
                    key = model, backend, precision
                    if key in rows or not _starts_cold(*key, asked.device):
                        continue
                    try:
                        row = cold.measure(model, precision, backend, str(asked.device), asked.threads)
                    except cold.ColdError as error:
                        skipped.append(f"cold start: {error}")
                        say(skipped[-1])
                        continue
                    rows[key] = row
                    say(f"  {' '.join(key)}: ready after {row['ready_s']} s, {row['peak_mib']} MiB at most")
    return list(rows.values())


def _starts_cold(model: str, backend: str, precision: str, device: torch.device) -> bool:
    """The engine always; two rivals with one model."""
    if backend == "engine":
        return offered(backend, precision, device)
    return backend in ("plain", "compile") and (model, precision) in (("full", "fp32"), ("demo", "fp32"))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
