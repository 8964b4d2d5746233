"""The metrics of several checkpoints of one run: which is best, and curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylemap.files import write_whole

History = Mapping[str, Mapping[str, float]]
"""Checkpoint to metric to value, oldest checkpoint first."""

_HIGHER = ("accuracy", "balanced", "success", "others kept")
_RATIO = "Laplacian energy over"


def badness(metric: str, value: float) -> float:
    """A number that is lower for a better value: errors and distances as they are, rates negated, ratios of
    sharpness by their distance from 1."""
    if metric.startswith(_RATIO):
        return abs(value - 1)
    return -value if metric.endswith(_HIGHER) else value


def common_metrics(history: History) -> list[str]:
    """The metrics that every checkpoint has, in their order."""
    first, *others = history.values()
    return [name for name in first if all(name in values for values in others)]


def best(history: History) -> str:
    """The checkpoint with the lowest mean rank over all metrics; of equal ones the newest.

    Checkpoints with the same value of a metric share the mean of their ranks.

    Raises ValueError where there is no checkpoint, or no metric that all have.
    """
    if not history or not common_metrics(history):
        raise ValueError("there is no metric to choose a checkpoint by")
    totals = dict.fromkeys(history, 0.0)
    for metric in common_metrics(history):
        scores = {name: badness(metric, values[metric]) for name, values in history.items()}
        for name, score in scores.items():
            below = sum(other < score for other in scores.values())
            same = sum(other == score for other in scores.values())
            totals[name] += below + (same - 1) / 2
    lowest = min(totals.values())
    return [name for name, total in totals.items() if total == lowest][-1]


def table(history: History) -> str:
    """A line per metric, a column per checkpoint, the best value of each metric with a star."""
    names = list(history)
    metrics = common_metrics(history)
    wide = max(map(len, metrics))
    lines = [" " * wide + "".join(f"  {name:>13}" for name in names)]
    for metric in metrics:
        values = [history[name][metric] for name in names]
        lowest = min(badness(metric, value) for value in values)
        cells = [f"{value:.5g}{'*' if badness(metric, value) == lowest else ' '}" for value in values]
        lines.append(f"{metric:<{wide}}" + "".join(f"  {cell:>13}" for cell in cells))
    return "\n".join(lines)


def plot(history: History, path: Path) -> bool:
    """Writes a PNG with a curve per metric and the best checkpoint marked; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    metrics, chosen = common_metrics(history), list(history).index(best(history))
    columns = min(4, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    labels = [Path(name).stem.lstrip("0") or "0" for name in history]
    for place, metric in enumerate(metrics):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.plot(labels, [values[metric] for values in history.values()], marker="o", color="C0")
        axes.axvline(chosen, color="C1", linewidth=1, linestyle="--")
        axes.set_title(metric, fontsize=8)
        axes.tick_params(labelsize=7)
    with write_whole(path) as file:
        canvas.print_png(file)
    return True
