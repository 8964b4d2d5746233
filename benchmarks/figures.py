"""The report's pictures, as SVG: latency by backend, distribution, stages, scaling, roofline."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from stylemap.benchmarks.rivals import LABELS, NAMES
from stylemap.benchmarks.stages import STAGES
from stylemap.benchmarks.stages import TITLES as STAGE_TITLES
from stylemap.benchmarks.strokes import SCENARIOS

Row = Mapping[str, Any]
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
STAGE_COLOURS = {
    "mask": "#f0b429",
    "blend": "#7fb069",
    "modulation": "#2b9a84",
    "main path": "#0b61c4",
    "network": "#8fb8e8",
    "bytes": "#b794d6",
    "rest": "#c9ced6",
}
_HATCH = {"fp32": "", "bf16": "////", "fp16": "...."}
_STYLE: Any = {
    "svg.hashsalt": "stylemap",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa4b2",
    "axes.labelcolor": "#3c4657",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "xtick.color": "#5a6577",
    "ytick.color": "#3c4657",
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}


def backends(content: Row, model: str, scenario: str) -> str | None:
    """Median milliseconds of every backend in one scenario, as bars from the slowest."""
    rows = [r for r in _edit_rows(content, model, scenario) if r["status"] == "ok"]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda r: r["p50"], reverse=True)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, row in enumerate(rows):
            colour = COLOURS[row["backend"]]
            axes.barh(y, row["p50"], color=colour, height=0.66, hatch=_HATCH[row["precision"]], edgecolor="w")
            axes.annotate(
                f"{_digits(row['p50'])} ms",
                (row["p50"], y),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                weight="bold" if row["backend"] == "engine" else "normal",
            )
        axes.set_yticks(range(len(rows)), [f"{LABELS[r['backend']]} {r['precision']}" for r in rows])
        for label, row in zip(axes.get_yticklabels(), rows):
            label.set_fontweight("bold" if row["backend"] == "engine" else "normal")
        axes.set_xlim(0, 1.15 * rows[0]["p50"])
        axes.set_xlabel("milliseconds, median")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)

    return svg(draw, 7.6, 0.6 + 0.31 * len(rows))


def distribution(content: Row, model: str, scenario: str) -> str | None:
    """Which share of the frames took at most so long, a line per backend."""
    rows = [r for r in _edit_rows(content, model, scenario) if len(r.get("milliseconds", [])) >= 3]
    if not rows:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row in rows:
            values = np.sort(row["milliseconds"])
            shares = np.arange(1, len(values) + 1) / len(values)
            axes.step(
                [values[0], *values],
                [0, *shares],
                where="post",
                color=COLOURS[row["backend"]],
                linestyle="-" if row["precision"] == "fp32" else "--",
                linewidth=2.4 if row["backend"] == "engine" else 1.4,
                label=f"{LABELS[row['backend']]} {row['precision']}",
            )
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel("milliseconds")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        axes.set_ylabel("of frames took at most")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)

    return svg(draw, 7.6, 3.1)


def scenarios(content: Row, model: str) -> str | None:
    """The engine's frames in every scenario: median, middle half, 5 % to 95 %, and each run."""
    rows = [
        r
        for r in content.get("edit", [])
        if (r["model"], r["backend"]) == (model, "engine") and "milliseconds" in r
    ]
    names = [name for name in SCENARIOS if any(r["scenario"] == name for r in rows)]
    precisions = list(dict.fromkeys(r["precision"] for r in rows))
    if not names:
        return None
    colours = dict(zip(precisions, ("#0b61c4", "#2b9a84", "#c8553d")))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        random = np.random.default_rng(0)
        for row in rows:
            slot = precisions.index(row["precision"]) - (len(precisions) - 1) / 2
            y = names.index(row["scenario"]) + 0.27 * slot
            # What one image takes: strips and batches make many.
            values = np.array(row["milliseconds"]) / SCENARIOS[row["scenario"]].images
            low, first, median, third, high = np.percentile(values, [5, 25, 50, 75, 95])
            colour = colours[row["precision"]]
            jitter = random.uniform(-0.09, 0.09, len(values))
            axes.scatter(values, y + jitter, s=3, color=colour, alpha=0.25, linewidths=0, rasterized=True)
            axes.plot([low, high], [y, y], color=colour, linewidth=1)
            axes.plot([first, third], [y, y], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.55)
            axes.plot(median, y, "o", color="white", markeredgecolor=colour, markersize=5.5)
        axes.set_yticks(range(len(names)), [SCENARIOS[name].title for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel("milliseconds per image")
        axes.tick_params(axis="y", length=0)
        for precision, colour in colours.items():
            axes.plot([], [], "o", color=colour, label=precision)
        axes.legend(loc="lower right", ncols=len(precisions), bbox_to_anchor=(1, 1), borderaxespad=0.2)

    return svg(draw, 7.6, 0.9 + 0.36 * len(names))


def stages(content: Row, model: str) -> str | None:
    """Where a frame's time goes in the engine, for each scenario and precision."""
    rows = [r for r in content.get("stages", []) if (r["model"], r["backend"]) == (model, "engine")]
    if not rows:
        return None
    longest = max(sum(row["stages"].values()) for row in rows)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, row in enumerate(rows):
            left, total = 0.0, sum(row["stages"].values())
            for stage in STAGES:
                width = row["stages"].get(stage, 0.0)
                axes.barh(y, width, left=left, color=STAGE_COLOURS[stage], height=0.62)
                if width > 0.055 * longest:
                    dark = stage in ("main path", "modulation")
                    axes.text(
                        left + width / 2, y, _digits(width, 2), ha="center", va="center", fontsize=8.5,
                        color="white" if dark else "#1c2430",
                    )  # fmt: skip
                left += width
            axes.annotate(
                f"{_digits(total)} ms", (left, y), xytext=(5, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(
            range(len(rows)), [f"{SCENARIOS[r['scenario']].title}, {r['precision']}" for r in rows]
        )
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * longest)
        axes.set_xlabel("milliseconds, median")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        used = [stage for stage in STAGES if any(stage in r["stages"] for r in rows)]
        for stage in used:
            axes.barh(0, 0, color=STAGE_COLOURS[stage], label=STAGE_TITLES[stage])
        figure.legend(
            loc="outside upper center", ncols=len(used), fontsize=9, handlelength=1, columnspacing=1.2
        )

    return svg(draw, 7.6, 1.1 + 0.4 * len(rows))


def svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """A drawing of so many inches as an SVG element that scales with the page."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None}, dpi=200)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Several drawings share a page: their inner names must not.
    prefix = f"f{zlib.crc32(text.encode()):x}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{prefix}", text)
    return re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", text, count=2)


def _edit_rows(content: Row, model: str, scenario: str) -> list[Row]:
    rows = [r for r in content.get("edit", []) if (r["model"], r["scenario"]) == (model, scenario)]
    return sorted(rows, key=lambda r: NAMES.index(r["backend"]))


def _plain_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.xaxis.set_minor_formatter(
        FuncFormatter(lambda v, _: f"{v:g}" if f"{v:.0e}"[0] in "25" else "")
        if np.ptp(np.log10(axes.get_xlim())) < 1.7
        else NullFormatter()
    )


def _digits(value: float, count: int = 3) -> str:
    """Rounded to that many digits, and never as a power of ten."""
    return f"{float(f'{value:.{count}g}'):.10g}"
