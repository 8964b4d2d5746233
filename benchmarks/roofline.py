"""A roofline of the CPU engine: how long every layer takes, and how long it would have to on this machine.

    python -m stylemap.benchmarks.roofline [MODEL ...] [--precision fp32|bf16] [--threads N] --output FILE

A layer's floor is the larger of its multiply-adds over the measured peak of such products, and of the bytes
it has to move at least over the measured bandwidth of a copy. Layers are timed where they stand in a run, so
that weights come from memory and features from the layer before. The floor counts neither the transforms of
tiles and weights nor the norms; data that is still in a cache may beat the floor of its bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from stylemap.benchmarks import machine, models, operators, results
from stylemap.benchmarks.backends import Engine, Photos
from stylemap.benchmarks.layers import WARM, Cost, Watch, direct, times, watch_layers
from stylemap.benchmarks.stages import Stopwatch, watched
from stylemap.benchmarks.strokes import script
from stylemap.benchmarks.summary import rounded
from stylemap.benchmarks.tables import markdown
from stylemap.benchmarks.timing import Budget, Clock, compare
from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.blocking import PRECISIONS
from stylemap.engine.cpu.cells import Difference
from stylemap.engine.cpu.convolution import Convolution, Pointwise
from stylemap.engine.cpu.edits import Writing
from stylemap.engine.cpu.renderer import CpuRenderer
from stylemap.model import StyleMapGAN
from stylemap.program import Conv, Folded, Mode, Part

_CPU = torch.device("cpu")
_MODELS = ("full", "small", "demo")


def stage_rows(rows: Iterable[dict[str, Any]], watch: Watch) -> list[dict[str, Any]]:
    """Sums over the layers of every stage of encode and decode, and of all; "whole" is timed around a run."""
    sums: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["run"] != "edit":
            sums[row["run"], row["stage"]].append(row)
            sums[row["run"], "whole"].append(row)
    found = []
    # The whole of a run after its stages.
    for run, stage in sorted(sums, key=lambda key: (key[0] != "encode", key[1] == "whole")):
        part = sums[run, stage]
        totals = {each: sum(row[each] for row in part) for each in ("products", "direct", "bytes")}
        spent = statistics.median(watch.whole[run][WARM:]) if stage == "whole" else sum(r["ms"] for r in part)
        found.append({"run": run, "stage": stage, **totals, **times(sum(r["floor_ms"] for r in part), spent)})
    return found


def edit_rows(
    model: StyleMapGAN, precision: str, rows: Sequence[dict[str, Any]], peak: dict[str, float], runs: int
) -> list[dict[str, Any]]:
    """Stages of cached edits with brush 64: medians over the first steps of a stroke, and of their floors."""
    engine = Engine(model, precision, Photos(model.config.size))
    renderer = engine.session.renderer
    assert isinstance(renderer, CpuRenderer)
    ring = renderer.plan.ring(model)
    main = [row for row in rows if row["run"] == "edit"]
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    steps = script("paint_64")[: runs + WARM]
    for step in steps:
        engine.edit(step)  # fills the cache
    for step in steps:
        watch, reused = Stopwatch(_CPU), renderer.stats()["reused_layers"]
        with watched(engine, watch), _noted() as written:
            engine.edit(step)
        first = renderer.stats()["reused_layers"] - reused
        ran = [row for row in main if row["index"] >= first]
        costs = _edit_costs(precision, written, ring)
        floors = {stage: sum(max(cost.floor(peak)) for cost in part) for stage, part in costs.items()}
        floors["main path"] = sum(row["floor_ms"] for row in ran)
        work = {stage: [vars(cost) for cost in part] for stage, part in costs.items()} | {"main path": ran}
        names = {"paste": "blend", "ring": "modulation", "main path": "main path"}
        for stage, name in names.items():
            totals = {each: sum(one[each] for one in work[stage]) for each in ("products", "direct", "bytes")}
            found[stage].append({**totals, "floor_ms": floors[stage], "ms": watch.spent[name]})
    medians: list[dict[str, Any]] = []
    for stage, samples in found.items():
        mid = {key: statistics.median(one[key] for one in samples[WARM:]) for key in samples[0]}
        totals = {key: round(mid[key]) for key in ("products", "direct", "bytes")}
        medians.append({"run": "edit", "stage": stage, **totals, **times(mid["floor_ms"], mid["ms"])})
    return medians


@contextlib.contextmanager
def _noted() -> Iterator[list[tuple[int, Difference]]]:
    """The stylecodes that edits write from now on, and what they write of each."""
    found: list[tuple[int, Difference]] = []
    write = Writing.write

    def noted(self: Writing, arena: Arena, todo: Difference, fade: float, itself: bool) -> None:
        found.append((self.index, todo))
        write(self, arena, todo, fade, itself)

    with mock.patch.object(Writing, "write", noted):
        yield found


def _edit_costs(
    precision: str, written: Sequence[tuple[int, Difference]], ring: Sequence[Convolution]
) -> dict[str, list[Cost]]:
    """Of the paste and of the ring, from what an edit has written of every stylecode."""
    costs: dict[str, list[Cost]] = {"paste": [], "ring": []}
    for index, todo in written:
        conv = ring[index]
        pasted, read = (sum(len(part.cells) for part in parts) for parts in (todo.paste, todo.inputs))
        pasted += len(todo.restored)
        # The cache of a session in bf16 has maps in half precision.
        stored = 4 if precision == "fp32" else 2
        costs["paste"].append(Cost(0, 0, (stored + 4) * pasted * conv.maps_channels, False))
        if not len(todo.tiles):
            continue
        cells = len(todo.tiles) * conv.tile**2
        products = len(todo.tiles) * (conv.tile + 2) ** 2 * conv.depth * conv.packed_outputs
        moved = conv.bytes + 4 * (read * conv.depth + cells * conv.maps_channels)
        costs["ring"].append(Cost(products, 9 * cells * conv.depth * conv.maps_channels, moved, conv.bf16))
    return costs


def peaks(quick: bool) -> dict[str, float]:
    """Bandwidth of a copy, and multiply-adds per second, the larger of what PyTorch and the engine reach."""
    clock = Clock(_CPU)
    found = operators.peaks(clock, quick)
    result = {"copy_gb_per_s": found["copy_gb_per_s"]}
    for precision in PRECISIONS:
        torchs = found[f"matmul_{precision}_gflop_per_s"] / 2
        ours = _products(precision, quick)
        runs = {name: run for name, (run, _) in ours.items()}
        samples = compare(runs, clock, Budget(0.3 if quick else 4.0, 5, 100))
        engines = max(ours[name][1] / min(each.milliseconds) / 1e6 for name, each in samples.items())
        result |= {
            f"{precision}_torch_gmac_per_s": torchs,
            f"{precision}_engine_gmac_per_s": rounded(engines),
        }
        result[f"{precision}_gmac_per_s"] = max(torchs, rounded(engines))
    return result


def _products(precision: str, quick: bool) -> dict[str, tuple[Callable[[], Any], int]]:
    """Kernels of the engine on what stays in the cache, and their multiply-adds."""
    arena, channels = Arena(), 64 if quick else 256
    found: dict[str, tuple[Callable[[], Any], int]] = {}

    def run(conv: Convolution | Pointwise, x: Tensor) -> None:
        arena.give_all()
        conv(arena, x)

    for name, size, side, mode, tile in (
        ("1×1", 1, 64, Mode.PLAIN, 0),
        ("F(2×2)", 3, 64, Mode.PLAIN, 2),
        ("F(4×4)", 3, 64, Mode.PLAIN, 4),
        ("up", 3, 32, Mode.UP, 2),
    ):
        layer = Conv(name, Part.ENCODER, 0, channels, channels, side, size=size, mode=mode)
        weight = torch.randn(channels, channels, size, size, dtype=torch.float64) / channels
        folded = Folded(weight, torch.zeros(channels, dtype=torch.float64))
        x = torch.randn(1, side, side, channels)
        if size == 1:
            conv = Pointwise(layer, folded, precision)
            found[name] = functools.partial(run, conv, x), direct(layer)
        else:
            wide = Convolution(layer, folded, precision, tile=tile)
            found[name] = functools.partial(run, wide, x), wide.shape(1, side).products
    return found


@torch.no_grad()
def measure(
    names: Sequence[str], precisions: Sequence[str], *, runs: int = 7, quick: bool = False
) -> dict[str, Any]:
    """The document: peaks, a row for every layer, and one for every stage."""
    start = time.monotonic()
    peak = peaks(quick)
    layers: list[dict[str, Any]] = []
    stages: list[dict[str, Any]] = []
    for name in names:
        model = models.load(name)
        for precision in precisions:
            watch = watch_layers(model, precision, runs)
            rows = watch.rows(peak)
            sums = [*stage_rows(rows, watch), *edit_rows(model, precision, rows, peak, runs)]
            key = {"model": name, "precision": precision}
            layers += [key | row for row in rows]
            stages += [key | row for row in sums]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - start, 1),
        "machine": machine.describe(_CPU),
        "peaks": peak,
        "stages": stages,
        "layers": layers,
    }


def tables(content: dict[str, Any]) -> str:
    """Markdown: the peaks, then layers and stages of every model and precision."""
    peak = content["peaks"]
    rates = ", ".join(f"{p} {peak[f'{p}_gmac_per_s']:.0f}" for p in PRECISIONS)
    lines = [f"Peaks: {rates} G multiply-adds/s, copy {peak['copy_gb_per_s']:.1f} GB/s."]
    for model, precision in dict.fromkeys((row["model"], row["precision"]) for row in content["stages"]):
        lines += ["", f"{models.TITLES[model]}, {precision}", ""]
        for kind, names in (("layers", ("layer", "algorithm", "bound")), ("stages", ("stage",))):
            rows = [r for r in content[kind] if (r["model"], r["precision"]) == (model, precision)]
            lines += [table(rows, names), ""]
    return "\n".join(lines)


def table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Markdown, a line for each row; ``names``: columns that are words."""
    header = ["run", *names, "M multiply-adds", "direct", "MiB", "floor, ms", "measured, ms", "of the time"]
    cells = [
        [
            *(str(row[name]) for name in ("run", *names)),
            *(f"{row[name] / 1e6:.0f}" for name in ("products", "direct")),
            f"{row['bytes'] / 2**20:.1f}",
            *(f"{row[name]:.2f}" for name in ("floor_ms", "ms")),
            f"{row['share']:.0%}",
        ]
        for row in rows
    ]
    return markdown(header, cells)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="*", metavar="MODEL", help=f"default: {' '.join(_MODELS)}")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: both")
    parser.add_argument("--threads", type=int, help="default: as many as PyTorch takes")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.model if name not in models.CONFIGS]:
        parser.error(f"no model {unknown[0]!r}: choose from {', '.join(models.CONFIGS)}")
    if args.threads is not None:
        if args.threads < 1:
            parser.error(f"--threads must be at least 1, got {args.threads}")
        torch.set_num_threads(args.threads)
    content = measure(args.model or _MODELS, [args.precision] if args.precision else PRECISIONS)
    print(tables(content))
    print(f"wrote {results.write(content, args.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
