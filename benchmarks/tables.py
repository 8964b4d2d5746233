"""The numbers of a result as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stylemap.benchmarks.models import TITLES
from stylemap.benchmarks.rivals import LABELS, NAMES
from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.summary import UNSURE

Row = Mapping[str, Any]
PRECISIONS = ("fp32", "bf16", "fp16")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def goals(content: Mapping[str, Any]) -> str:
    """The ratios that the engine is held to; empty where none was measured."""
    rows = [row for row in content.get("ratios", []) if "target" in row]
    if not rows:
        return ""
    return markdown(
        ["times as fast", "model", "measured", "95 % interval", "goal"],
        ([row["name"], TITLES[row["model"]], *_measured(row), _goal(row)] for row in rows),
    )


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
    rows = [
        row
        for row in content.get("edit", [])
        if (row["backend"], row["model"], row["precision"]) == ("engine", model, precision)
    ]
    return markdown(
        ["ms", "p50", "p95", "p99", "max", "images/s", "runs"],
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
    return markdown(
        ["process of its own", "imports, s", "ready, s", "open a photo, s", "first edit, s", "peak, MiB"],
        (
            [
                f"{TITLES[row['model']]}, {LABELS[row['backend']]} {row['precision']}",
                *(f"{row[name]:.2f}" for name in ("import_s", "ready_s", "open_s", "edit_s")),
                f"{row['peak_mib']:.0f}",
            ]
            for row in content.get("cold", [])
        ),
    )


def operators(content: Mapping[str, Any]) -> str:
    return markdown(
        ["operator", "ms", "times its definition", "GB/s", "GFLOP/s", "of peak"],
        (
            [
                f"{row['case']}, {row['direction']}",
                number(row["native_ms"]),
                f"{row['ratio']:.1f}",
                number(row.get("gb_per_s")),
                number(row.get("gflop_per_s")),
                f"{row['of_peak']:.0%}" if "of_peak" in row else "",
            ]
            for row in content.get("ops", [])
        ),
    )


def training(content: Mapping[str, Any]) -> str:
    return markdown(
        ["training", "it/s", "on the definitions", "times as fast", "MiB", "on the definitions"],
        (
            [
                row["case"],
                f"{row['native']['its']:.3f}",
                f"{row['reference']['its']:.3f}",
                f"{row['speedup']:.2f}",
                f"{row['native']['peak_mib']:.0f}",
                f"{row['reference']['peak_mib']:.0f}",
            ]
            for row in content.get("training", [])
        ),
    )


def machine(content: Mapping[str, Any]) -> str:
    """One sentence about what the numbers were measured on."""
    m = content["machine"]
    device = m["cpu"] if m["device"] == "cpu" else m["device"]
    vectors = next((text for name, text in _VECTORS if name in m.get("instructions", [])), "")
    commit = f", commit {m['commit']}{' with changes' if m.get('changed') else ''}" if m["commit"] else ""
    threads = f"{m['threads']} thread{'s' * (m['threads'] != 1)}"
    later = sorted({entry["commit"] for entry in content.get("again", [])})
    again = f"; measured again where it could not be told, on commit {' and '.join(later)}" if later else ""
    return f"{device}{vectors}, {threads}, torch {m['torch']}{commit}, {content['date'][:10]}{again}"


_VECTORS = (("avx512_bf16", " (AVX-512, bf16)"), ("avx512f", " (AVX-512)"), ("avx2", " (AVX2)"))


def milliseconds(row: Row | None) -> str:
    """A cell: the median, or why there is none."""
    if row is None:
        return ""
    if row["status"] == "wrong":
        return "wrong"
    return "unsteady" if row["status"] == "unsteady" else number(row["p50"])


def number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def scaling(content: Mapping[str, Any]) -> str:
    return markdown(
        ["axis", "operation", "at: ms", "fit"],
        (
            [
                f"{row['axis']}, {row['model']}",
                f"{LABELS[row['backend']]} {row['precision']}, {row['operation']}",
                ", ".join(f"{x:g}: {number(ms)}" for x, ms in zip(row["x"], row["ms"])),
                fit_of(row),
            ]
            for row in content.get("scaling", [])
        ),
    )


def fit_of(row: Row) -> str:
    """What the fit says."""
    if row["fit"] == "power":
        return f"∝ x^{row['slope']:.2f}"
    return f"{row['slope']:+.2g} ms per {'%' if row['axis'] == 'area' else 'reference'}"


def headlines(content: Mapping[str, Any], model: str) -> list[tuple[str, str]]:
    """Titles and values of the numbers that matter most."""
    found = []
    sides = {
        (row["backend"], row["precision"], row["scenario"]): row
        for row in content.get("edit", [])
        if row["model"] == model and row["status"] == "ok"
    }
    for precision in PRECISIONS:
        row = sides.get(("engine", precision, "paint_64"))
        if row is not None:
            found.append((f"an edited frame, {TITLES[model]}, {precision}", f"{number(row['p50'])} ms"))
    for row in content.get("ratios", []):
        goal = row.get("target") and row["fast"]["scenario"] in ("paint_64", "decode")
        if goal and row["model"] == model and row["status"] == "ok":
            found.append((row["name"], times(row)))
    return found[:6]


def played(content: Mapping[str, Any], model: str, precision: str) -> bool:
    """Whether the engine was timed with a model and precision."""
    side = (model, "engine", precision)
    return any((r["model"], r["backend"], r["precision"]) == side for r in content.get("edit", []))


def models(content: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in content.get("edit", [])))


def _measured(row: Row) -> tuple[str, str]:
    if row["status"] != "ok":
        return "too unsteady to tell", ""
    return times(row), f"{row['low']:.3g} to {row['high']:.3g}"


def times(row: Row) -> str:
    """The ratio; where its interval is too wide for that, the end of it that can be told."""
    if (row["high"] - row["low"]) <= UNSURE * row["value"]:
        return f"{row['value']:.3g}×"
    return f"at least {row['low']:.3g}×" if row["met"] else f"at most {row['high']:.3g}×"


def _goal(row: Row) -> str:
    verdict = {True: " met", False: " not met", None: ""}[row.get("met")]
    return f"{row['target']:g}×{verdict}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
