"""A backend and the engine in turns, and a table of what came out, for `bench_export`."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylemap.benchmarks.harness import Budget, Clock, interleave
from stylemap.benchmarks.summary import paired_ratio

Run = Callable[[], Tensor]


def in_turns(run: Run, engine: Run, seconds: float) -> dict[str, Any]:
    """Milliseconds of both, and how many times longer than the engine it takes."""
    sides = {"": lambda step: run(), "engine_": lambda step: engine()}
    samples = interleave(sides, Budget(seconds, least=5, most=100), Clock(torch.device("cpu")))
    row: dict[str, Any] = {"rounds": min(len(side.milliseconds) for side in samples.values())}
    for name, side in samples.items():
        low, median, high = statistics.quantiles(side.milliseconds, n=4, method="inclusive")
        row |= {f"{name}median_ms": _rounded(median), f"{name}spread": _rounded((high - low) / median)}
    ratio = paired_ratio(samples[""].by_round(), samples["engine_"].by_round())
    assert ratio is not None
    return row | {
        "ratio": _rounded(ratio.value),
        "ratio_interval": [_rounded(ratio.low), _rounded(ratio.high)],
    }


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
