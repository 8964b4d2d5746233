"""The report's pictures, as PNG files: latency by backend, stages of a frame, scaling."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from stylemap.benchmarks.rivals import LABELS
from stylemap.benchmarks.stages import STAGES
from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.tables import fit_of, number

Content = Mapping[str, Any]
#: Colours that colour-blind people can tell apart; the engine's is the only strong one.
COLOURS = {
    "engine": "#0b61c4",
    "published": "#8b8f94",
    "plain": "#c58a1b",
    "compile": "#c8553d",
    "onnxruntime": "#7a5aa6",
    "openvino": "#2b9a84",
    "ncnn": "#6f4e37",
}
_STAGE_COLOURS = ("#f0b429", "#7fb069", "#2b9a84", "#0b61c4", "#b794d6", "#c9ced6")
_HATCH = {"fp32": "", "bf16": "////", "fp16": "...."}
_AXES = {
    "size": "side of the image, pixels",
    "area": "% of the image under the brush",
    "references": "references, each with a brush of 48",
    "batch": "images decoded at once",
    "threads": "threads",
}
_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e9ee",
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}


def backends(content: Content, model: str, scenario: str) -> bytes | None:
    """Median milliseconds of every backend in one scenario, as bars from the slowest."""
    key = (model, scenario)
    rows = [r for r in content.get("edit", []) if (r["model"], r["scenario"]) == key and r["status"] == "ok"]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda r: r["p50"], reverse=True)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, row in enumerate(rows):
            colour, hatch = COLOURS[row["backend"]], _HATCH[row["precision"]]
            bars = axes.barh(y, row["p50"], color=colour, height=0.66, hatch=hatch, edgecolor="w")
            axes.bar_label(bars, [f"{number(row['p50'])} ms"], padding=5)
        axes.set_yticks(range(len(rows)), [f"{LABELS[r['backend']]} {r['precision']}" for r in rows])
        axes.set_xlim(0, 1.15 * rows[0]["p50"])
        axes.set_xlabel(f"{SCENARIOS[scenario].title}: milliseconds, median")
        axes.grid(axis="y", visible=False)

    return _png(draw, 7.6, 0.6 + 0.31 * len(rows))


def stages(content: Content, model: str) -> bytes | None:
    """Where a frame's time goes in the engine, for each scenario and precision."""
    rows = [r for r in content.get("stages", []) if (r["model"], r["backend"]) == (model, "engine")]
    if not rows:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        left = [0.0] * len(rows)
        for (stage, title), colour in zip(STAGES.items(), _STAGE_COLOURS):
            widths = [row["stages"].get(stage, 0.0) for row in rows]
            if any(widths):
                axes.barh(range(len(rows)), widths, left=left, color=colour, label=title)
                left = [a + b for a, b in zip(left, widths)]
        titles = [f"{SCENARIOS[row['scenario']].title}, {row['precision']}" for row in rows]
        axes.set_yticks(range(len(rows)), titles)
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds, median")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncols=4)

    return _png(draw, 7.6, 1.4 + 0.4 * len(rows))


def scaling(content: Content) -> bytes:
    """Milliseconds over every axis that was measured."""
    names = [axis for axis in _AXES if any(row["axis"] == axis for row in content["scaling"])]

    def draw(figure: Figure) -> None:
        for name, axes in zip(names, figure.subplots(len(names), 1, squeeze=False)[:, 0]):
            rows = [row for row in content["scaling"] if row["axis"] == name]
            for row in rows:
                label = f"{LABELS[row['backend']]}, {row['operation']}: {fit_of(row)}"
                style = "o-" if row["operation"] == "edit" else "s--"
                axes.plot(row["x"], row["ms"], style, color=COLOURS[row["backend"]], label=label)
            if rows[0]["fit"] == "power":
                axes.set_xscale("log", base=2)
                axes.set_yscale("log")
                axes.set_xticks(rows[0]["x"])
                for axis in (axes.xaxis, axes.yaxis):
                    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                    axis.set_minor_formatter(NullFormatter())
            else:
                axes.set_ylim(0, 1.1 * max(max(row["ms"]) for row in rows))
            axes.set_xlabel(_AXES[name])
            axes.set_ylabel("milliseconds")
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))

    return _png(draw, 9.0, 2.9 * len(names))


def _png(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """A drawing of so many inches."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
