"""The numbers of a result as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from stylemap.benchmarks import timing
from stylemap.benchmarks.models import TITLES
from stylemap.benchmarks.rivals import LABELS, NAMES
from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.summary import NOISY_WIDTH

Row = Mapping[str, Any]
PRECISIONS = ("fp32", "bf16", "fp16")
#: What a cell shows in place of a number.
NOT_REPORTED = {"wrong": "wrong", "noisy": "noisy", "few": "few"}


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def goals(content: Mapping[str, Any]) -> str:
    """The ratios that the engine is held to; empty where none was measured."""
    rows = [row for row in content.get("ratios", []) if "target" in row]
    if not rows:
        return ""
    return markdown(
        ["times as fast as", "model", "measured", "95 % interval", "samples a side", "goal"],
        (
            [
                _goal_name(row),
                TITLES[row["model"]],
                times(row),
                f"{row['low']:.3g} to {row['high']:.3g}" if row["status"] == "ok" else "",
                str(row["pairs"]),
                f"{row['target']:g}×" + {True: " met", False: " not met", None: ""}[row.get("met")],
            ]
            for row in rows
        ),
    )


def like_for_like(content: Mapping[str, Any], model: str) -> str:
    """The goals' ratios of one scenario on both sides, of one model; empty where none was measured."""
    rows = [
        row
        for row in content.get("ratios", [])
        if row.get("met") is not None
        and row["model"] == model
        and row["slow"]["scenario"] == row["fast"]["scenario"]
    ]
    if not rows:
        return ""
    return markdown(
        ["times as fast as", "measured", "95 % interval", "samples a side"],
        (
            [_goal_name(row), times(row), f"{row['low']:.3g} to {row['high']:.3g}", str(row["pairs"])]
            for row in rows
        ),
    )


def _goal_name(row: Row) -> str:
    """What is compared with what."""
    slow, fast = row["slow"], row["fast"]
    side = f"{LABELS[slow['backend']]} {slow['precision']}"
    if slow["scenario"] == fast["scenario"]:
        return f"{side}: {SCENARIOS[fast['scenario']].title}, {fast['precision']}"
    titles = SCENARIOS[slow["scenario"]].title, SCENARIOS[fast["scenario"]].title
    return f"{side}, {titles[0]}: {titles[1]}, {fast['precision']}"


def times(row: Row) -> str:
    """A ratio; of a wide interval the end that is nearer to the goal; or why there is none."""
    if row["status"] != "ok":
        return {"noisy": "too noisy to report", "few": "too few samples"}[row["status"]]
    if (row["high"] - row["low"]) <= NOISY_WIDTH * row["value"]:
        return f"{row['value']:.3g}×"
    return f"at least {row['low']:.3g}×" if row["met"] else f"at most {row['high']:.3g}×"


def latencies(content: Mapping[str, Any], model: str) -> str:
    """Median milliseconds: a line per backend and precision, the scenarios that rivals were timed in."""
    rows = [row for row in content.get("edit", []) if row["model"] == model]
    shared = {row["scenario"] for row in rows if row["backend"] != "engine"} or {r["scenario"] for r in rows}
    scenarios = [name for name in SCENARIOS if name in shared]
    found = {(row["backend"], row["precision"], row["scenario"]): row for row in rows}
    lines = []
    for backend in NAMES:
        for precision in PRECISIONS:
            cells = [found.get((backend, precision, scenario)) for scenario in scenarios]
            if any(cells):
                label = LABELS[backend] if backend != "engine" else f"**{LABELS[backend]}**"
                lines.append([f"{label} {precision}", *(milliseconds(cell) for cell in cells)])
    return markdown(["ms, median", *(SCENARIOS[name].title for name in scenarios)], lines)


def frames(content: Mapping[str, Any], model: str, precision: str) -> str:
    """The engine's percentiles in every scenario."""
    side = ("engine", model, precision)
    rows = [r for r in content.get("edit", []) if (r["backend"], r["model"], r["precision"]) == side]
    return markdown(
        ["ms", "p50", "p95", "p99", "max", "images/s", "samples"],
        (
            [
                SCENARIOS[row["scenario"]].title,
                milliseconds(row),
                *(number(row.get(name)) for name in ("p95", "p99", "max", "fps")),
                str(len(row.get("milliseconds", []))),
            ]
            for row in rows
        ),
    )


def cold_starts(content: Mapping[str, Any]) -> str:
    """Seconds to the first edit, and MiB, of processes of their own."""
    return markdown(
        ["process of its own", "imports, s", "ready, s", "open a photo, s", "first edit, s", "peak, MiB"],
        (
            [
                f"{TITLES[row['model']]}, {LABELS[row['backend']]} {row['precision']}",
                *(f"{row[name]:.2f}" for name in ("import_s", "ready_s", "open_s", "edit_s")),
                f"{row['peak_mib']:.0f}",
            ]
            for row in content["cold"]
        ),
    )


def operators(content: Mapping[str, Any]) -> str:
    """Operators against their definitions and the machine's peaks."""
    return markdown(
        ["operator", "ms", "times as fast as its definition", "GB/s", "GFLOP/s", "of peak"],
        (
            [
                f"{row['case']}, {row['direction']}",
                number(row["native_ms"]),
                f"{row['ratio']:.1f}",
                number(row.get("gb_per_s")),
                number(row.get("gflop_per_s")),
                f"{row['of_peak']:.0%}" if "of_peak" in row else "",
            ]
            for row in content["ops"]
        ),
    )


def training(content: Mapping[str, Any]) -> str:
    """Iterations per second and MiB of both sides."""
    sides = ("native", "reference")
    return markdown(
        ["training", "it/s", "on the definitions", "times as fast", "MiB", "on the definitions"],
        (
            [
                row["case"],
                *(f"{row[side]['its']:.3f}" for side in sides),
                f"{row['speedup']:.2f}",
                *(f"{row[side]['peak_mib']:.0f}" for side in sides),
            ]
            for row in content["training"]
        ),
    )


def scaling(content: Mapping[str, Any]) -> str:
    """Milliseconds along every axis, and the fits."""
    return markdown(
        ["axis", "operation", "at: ms", "fit"],
        (
            [
                f"{row['axis']}, {row['model']}",
                f"{LABELS[row['backend']]} {row['precision']}, {row['operation']}",
                ", ".join(f"{x:g}: {number(ms)}" for x, ms in zip(row["x"], row["ms"])),
                fit_of(row),
            ]
            for row in content["scaling"]
        ),
    )


def fit_of(row: Row) -> str:
    """What the fit says."""
    if row["fit"] == "power":
        return f"∝ x^{row['slope']:.2f}"
    return f"{row['slope']:+.2g} ms per {'%' if row['axis'] == 'area' else 'reference'}"


#: Titles and tables of the parts that stand for themselves.
PARTS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "cold": ("Cold start and memory", cold_starts),
    "scaling": ("Scaling", scaling),
    "ops": ("Operators", operators),
    "training": ("Training", training),
}


def machine(content: Mapping[str, Any]) -> str:
    """One line about what the numbers were measured on."""
    m = content["machine"]
    device = m["cpu"] if m["device"] == "cpu" else m["device"]
    vectors = next((text for name, text in _VECTORS if name in m.get("instructions", [])), "")
    commit = f", commit {m['commit']}{' with changes' if m.get('changed') else ''}" if m["commit"] else ""
    threads = f"{m['threads']} thread{'s' * (m['threads'] != 1)}"
    later = sorted({entry["commit"] for entry in content.get("again", [])})
    again = f"; some groups measured again on commit {' and '.join(later)}" if later else ""
    if content["timing"] != timing.VERSION:
        again += f"; timed by earlier rules (version {content['timing']})"
    return f"{device}{vectors}, {threads}, torch {m['torch']}{commit}, {content['date'][:10]}{again}"


_VECTORS = (
    ("amx_bf16", " (AVX-512, AMX)"),
    ("avx512_bf16", " (AVX-512, bf16)"),
    ("avx512f", " (AVX-512)"),
    ("avx2", " (AVX2)"),
)


def milliseconds(row: Row | None) -> str:
    """A cell: the median, or why there is none."""
    if row is None:
        return ""
    return NOT_REPORTED.get(row["status"]) or number(row["p50"])


def number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def models(content: Mapping[str, Any]) -> list[str]:
    """Those that edits were timed with, in their order."""
    return list(dict.fromkeys(row["model"] for row in content.get("edit", [])))


def precisions(content: Mapping[str, Any], model: str) -> list[str]:
    """Those that the engine was timed in."""
    return [
        precision
        for precision in PRECISIONS
        if any(
            (r["model"], r["backend"], r["precision"]) == (model, "engine", precision)
            for r in content.get("edit", [])
        )
    ]
