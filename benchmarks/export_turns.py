"""Two sides in turns, and a table of what came out, for `bench_export`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

Run = Callable[[], Tensor]


def in_turns(run: Run, engine: Run, rounds: int) -> dict[str, Any]:
    """Milliseconds of both, and how many times longer than the engine it takes; one round warms up."""
    seconds: dict[str, list[float]] = {"": [], "engine_": []}
    for number in range(rounds + 1):
        # Neither always runs after the other.
        for name, side in list(zip(seconds, (run, engine)))[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            side()
            if number:
                seconds[name].append(time.perf_counter() - start)
    row: dict[str, Any] = {"rounds": rounds}
    for name, times in seconds.items():
        low, median, high = quartiles(times)
        row |= {f"{name}best_ms": _rounded(1e3 * min(times)), f"{name}median_ms": _rounded(1e3 * median)}
        row[f"{name}spread"] = _rounded((high - low) / median)
    ratios = [mine / its for mine, its in zip(*seconds.values())]
    low, median, high = quartiles(ratios)
    return row | {"ratio": _rounded(median), "ratio_quartiles": [_rounded(low), _rounded(high)]}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """25th percentile, median and 75th percentile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def _rounded(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: median milliseconds, times the engine's, spread, error."""
    operations = ("encode", "decode", "edit")
    lines = [
        "| ms (times the engine in fp32, spread; error) | " + " | ".join(operations) + " |",
        "|---|---|---|---|",
    ]
    turns = {
        o: [row["engine_median_ms"] for row in rows if row["operation"] == o and "ratio" in row]
        for o in operations
    }
    cells = [f"{statistics.median(turns[o]):.1f}" if turns[o] else "" for o in operations]
    lines.append(f"| engine fp32 | {' | '.join(cells)} |")
    for name in dict.fromkeys(row["backend"] for row in rows):
        found = {row["operation"]: row for row in rows if row["backend"] == name}
        cells = [
            "{median_ms:.1f} ({ratio:.2f}×, {spread:.0%}; {error:.0e})".format(**found[o])
            if "ratio" in found.get(o, {})
            else "not precise enough"
            for o in operations
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
