"""How many times faster: every rival against the engine, and the ratios that the engine is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.summary import Ratio, paired_ratio, unpaired_ratio

Row = Mapping[str, Any]
Side = tuple[str, str, str]  # backend, precision, scenario
Sides = Mapping[tuple[str, str, str, str], Row]  # by model and side


@dataclass(frozen=True)
class Goal:
    """``slow`` is to take ``target`` times as long as ``fast``, at least, both on a CPU."""

    name: str
    model: str
    slow: Side
    fast: Side
    target: float


#: What the engine is to reach on a CPU with two threads.
GOALS = (
    Goal("decode fp32", "full", ("published", "fp32", "decode"), ("engine", "fp32", "decode"), 6),
    Goal("decode bf16", "full", ("published", "fp32", "decode"), ("engine", "bf16", "decode"), 7.5),
    Goal("decode fp32 against ncnn", "full", ("ncnn", "fp32", "decode"), ("engine", "fp32", "decode"), 1.4),
    Goal(
        "decode bf16 against OpenVINO bf16",
        "full",
        ("openvino", "bf16", "decode"),
        ("engine", "bf16", "decode"),
        1.4,
    ),
    Goal(
        "small decode fp32 against ncnn",
        "small",
        ("ncnn", "fp32", "decode"),
        ("engine", "fp32", "decode"),
        1.5,
    ),
    Goal(
        "cached edit fp32 against a decode",
        "full",
        ("published", "fp32", "decode"),
        ("engine", "fp32", "paint_64"),
        15,
    ),
    Goal(
        "cached edit bf16 against a decode",
        "full",
        ("published", "fp32", "decode"),
        ("engine", "bf16", "paint_64"),
        24,
    ),
    Goal(
        "one edited frame against the published request",
        "full",
        ("published", "fp32", "request"),
        ("engine", "fp32", "paint_64"),
        220,
    ),
    Goal(
        "strip of 16 frames against the published request",
        "full",
        ("published", "fp32", "request"),
        ("engine", "fp32", "strip"),
        14,
    ),
    Goal("encode fp32", "full", ("published", "fp32", "encode"), ("engine", "fp32", "encode"), 7),
)


def ratio_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The goals that were measured, then every rival in every scenario it shares with the engine."""
    sides = {
        (row["model"], row["backend"], row["precision"], row["scenario"]): row
        for row in rows
        if "milliseconds" in row
    }
    found = []
    for goal in GOALS:
        row = _ratio_row(sides, goal.name, goal.model, goal.slow, goal.fast, goal.target)
        if row is not None:
            row["target"] = goal.target
            if row["status"] == "ok":
                row["met"] = row["value"] >= goal.target
            found.append(row)
    for model, backend, precision, scenario in sides:
        if backend != "engine":
            name = f"{scenario} {precision} against {backend}"
            slow, fast = (backend, precision, scenario), ("engine", precision, scenario)
            row = _ratio_row(sides, name, model, slow, fast)
            if row is not None:
                found.append(row)
    return found


def _ratio_row(
    sides: Sides, name: str, model: str, slow: Side, fast: Side, target: float | None = None
) -> dict[str, Any] | None:
    slower, faster = sides.get((model, *slow)), sides.get((model, *fast))
    if slower is None or faster is None:
        return None
    paired = slow[2] == fast[2]
    if paired:
        ratio = paired_ratio(by_round(slower), by_round(faster))
    else:
        ratio = unpaired_ratio(slower["milliseconds"], faster["milliseconds"])
    if ratio is None:
        return None
    row: dict[str, Any] = {"name": name, "model": model, "slow": _side(slow), "fast": _side(fast)}
    row |= {
        "pairs": ratio.pairs,
        "paired": paired,
        "status": "ok" if _told(ratio, slow, target) else "unsure",
    }
    if row["status"] == "ok":
        row |= {key: float(f"{getattr(ratio, key):.4g}") for key in ("value", "low", "high")}
    return row


def _told(ratio: Ratio, slow: Side, target: float | None) -> bool:
    """Whether a ratio can be reported; of a goal also if its interval lies on one side of the target."""
    # Many images in a run are a mean in themselves: one such run is enough.
    pairs = 3 if SCENARIOS[slow[2]].images > 1 else ratio.pairs
    decided = target is not None and pairs >= 3 and not ratio.low < target <= ratio.high
    return decided or Ratio(ratio.value, ratio.low, ratio.high, pairs).told


def by_round(row: Row) -> dict[int, float]:
    return {i * row["stride"]: value for i, value in enumerate(row["milliseconds"])}


def _side(side: Side) -> dict[str, str]:
    return dict(zip(("backend", "precision", "scenario"), side))
