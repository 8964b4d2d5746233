"""The report's pictures of scaling and of the operators under the machine's roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from stylemap.benchmarks.figures import COLOURS, svg
from stylemap.benchmarks.rivals import LABELS
from stylemap.benchmarks.summary import line, slope
from stylemap.benchmarks.tables import fit_of

Row = Mapping[str, Any]
_AXES = {
    "size": ("Image size", "side of the image, pixels"),
    "area": ("Mask area", "% of the image under the brush"),
    "references": ("References", "references, each with a brush of 48"),
    "batch": ("Batch", "images decoded at once"),
    "threads": ("Threads", "threads"),
}
_OP_COLOURS = {
    "bias_act": "#c58a1b",
    "upfirdn2d": "#2b9a84",
    "modulate": "#0b61c4",
    "blend": "#7a5aa6",
    "modulated_conv2d": "#c8553d",
}


def scaling(content: Row) -> list[tuple[str, str, str]]:
    """Title, caption and drawing of every axis."""
    found = []
    for axis, (title, label) in _AXES.items():
        rows = [row for row in content["scaling"] if row["axis"] == axis]
        if rows:
            caption = f"{rows[0]['model']}, {rows[0]['precision']}; dashed: the fit."
            found.append((title, caption, _axis(rows, label)))
    return found


def _axis(rows: Sequence[Row], label: str) -> str:
    power = rows[0]["fit"] == "power"

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        ends = []
        for row in rows:
            x, ms = np.array(row["x"]), np.array(row["ms"])
            edit = row["operation"] == "edit"
            colour = COLOURS[row["backend"]]
            axes.plot(
                x, ms, "o" if edit else "s", color=colour, markersize=6,
                markerfacecolor=colour if edit else "white", zorder=3,
            )  # fmt: skip
            dense = np.geomspace(x[0], x[-1], 50) if power else np.linspace(x[0], x[-1], 50)
            exponent, offset = (slope if power else line)(row["x"], row["ms"])
            fitted = offset * dense**exponent if power else offset + exponent * dense
            axes.plot(dense, fitted, "--", color=colour, linewidth=1.2)
            ends.append((ms[-1], f"{LABELS[row['backend']]}, {row['operation']}: {fit_of(row)}", colour))
        axes.set_xlabel(label)
        axes.set_ylabel("milliseconds")
        if power:
            _logarithmic(axes, rows[0]["x"])
        else:
            axes.set_ylim(0, 1.15 * max(max(row["ms"]) for row in rows))
        _label_ends(axes, ends, logarithmic=power)

    return svg(draw, 7.6, 2.7 if len(rows) < 3 else 3.3)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, logarithmic: bool) -> None:
    """Text beside the last points, moved apart where they would cover each other."""
    low, high = axes.get_ylim()

    def place(y: float) -> float:
        return float(np.log(y / low) / np.log(high / low) if logarithmic else (y - low) / (high - low))

    taken = -1.0
    for y, text, colour in sorted(ends):
        at = max(place(y), taken + 0.075)
        taken = at
        axes.text(1.02, at, text, transform=axes.transAxes, color=colour, va="center", fontsize=9)


def _logarithmic(axes: Axes, ticks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), [f"{x:g}" for x in ticks])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.15, high * 1.15)
    if high / low > 30:
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:.0e}"[0] in "25" else ""))


def roofline(content: Row) -> str | None:
    """Every operator by its work per byte and its speed; circles forward, triangles backward."""
    rows, peaks = [r for r in content["ops"] if "flop_per_byte" in r], content.get("peaks")
    if not rows or not peaks:
        return None
    bandwidth = peaks["copy_gb_per_s"]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x = np.geomspace(0.08, 3000, 200)
        for precision, style in (("fp32", "-"), ("bf16", "--")):
            top = peaks[f"matmul_{precision}_gflop_per_s"]
            axes.plot(x, np.minimum(bandwidth * x, top), style, color="#3c4657", linewidth=1.3)
            axes.annotate(
                f"matrix product {precision}: {top:.0f} GFLOP/s", (x[-1], top), xytext=(0, 4),
                textcoords="offset points", ha="right", fontsize=8.5, color="#3c4657",
            )  # fmt: skip
        axes.annotate(
            f"copy: {bandwidth:.0f} GB/s", (0.09, bandwidth * 0.7), fontsize=8.5, color="#3c4657",
        )  # fmt: skip
        for row in rows:
            bf16 = "bfloat16" in row["case"]
            colour = _OP_COLOURS.get(row["op"], "#8b8f94")
            axes.plot(
                row["flop_per_byte"], row["gflop_per_s"], "o" if row["direction"] == "forward" else "^",
                color=colour, markerfacecolor="white" if bf16 else colour, markersize=6, alpha=0.9,
            )  # fmt: skip
        for name, colour in _OP_COLOURS.items():
            if any(row["op"] == name for row in rows):
                axes.plot([], [], "o", color=colour, label=name)
        axes.plot([], [], "o", color="#5a6577", label="forward")
        axes.plot([], [], "^", color="#5a6577", label="backward")
        axes.plot([], [], "o", color="#5a6577", markerfacecolor="white", label="bf16")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(0.08, 3000)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            axis.set_minor_locator(NullLocator())
        axes.set_xlabel("operations per byte")
        axes.set_ylabel("GFLOP/s")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)

    return svg(draw, 7.6, 3.6)
