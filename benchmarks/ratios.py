"""How many times as fast: every rival against the engine, and the ratios that the engine is held to.

Both sides make the same: a stylemap, a frame, or all frames of a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stylemap.benchmarks.summary import MINIMUM_PAIRS, paired_ratio, rounded, unpaired_ratio
from stylemap.benchmarks.timing import Samples

Row = Mapping[str, Any]
Side = tuple[str, str, str]  # backend, precision, scenario


@dataclass(frozen=True)
class Goal:
    """``slow`` is to take at least ``target`` times as long as ``fast`` on a CPU with two threads."""

    name: str
    model: str
    slow: Side
    fast: Side
    target: float


def _goal(
    name: str, target: float, rival: Side, precision: str = "fp32", edit: str = "", model: str = "full"
) -> Goal:
    return Goal(name, model, rival, ("engine", precision, edit or rival[2]), target)


_DECODE = ("published", "fp32", "decode")
GOALS = (
    _goal("decode fp32", 6, _DECODE),
    _goal("decode bf16", 7.5, _DECODE, "bf16"),
    _goal("decode fp32 against ncnn", 1.4, ("ncnn", "fp32", "decode")),
    _goal("decode bf16 against OpenVINO bf16", 1.4, ("openvino", "bf16", "decode"), "bf16"),
    _goal("small decode fp32 against ncnn", 1.5, ("ncnn", "fp32", "decode"), model="small"),
    _goal("cached edit fp32 against a decode", 15, _DECODE, edit="paint_64"),
    _goal("cached edit bf16 against a decode", 24, _DECODE, "bf16", edit="paint_64"),
    _goal("request of 16 frames fp32", 14, ("published", "fp32", "request")),
    _goal("encode fp32", 7, ("published", "fp32", "encode")),
)


def ratio_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The goals that were measured, then every rival in every scenario it shares with the engine."""
    timed = {
        (r["model"], r["backend"], r["precision"], r["scenario"]): r for r in rows if "milliseconds" in r
    }
    wanted: list[tuple[str, str, Side, Side, float | None]] = [
        (goal.name, goal.model, goal.slow, goal.fast, goal.target) for goal in GOALS
    ]
    for model, backend, precision, scenario in timed:
        if backend != "engine":
            name = f"{scenario} {precision} against {backend}"
            sides = (backend, precision, scenario), ("engine", precision, scenario)
            wanted.append((name, model, *sides, None))
    found = []
    for name, model, slow, fast, target in wanted:
        slower, faster = timed.get((model, *slow)), timed.get((model, *fast))
        if slower is not None and faster is not None:
            measured = _measured(slower, faster, target)
            if measured is not None:
                row = {"name": name, "model": model, "slow": _side(slow), "fast": _side(fast)}
                found.append(row | measured)
    return found


def _measured(slower: Row, faster: Row, target: float | None) -> dict[str, Any] | None:
    """The measured part of a row; None where the sides share no round.

    A goal is judged however wide its interval is, if all of it lies on one side of the target.
    """
    paired = slower["scenario"] == faster["scenario"]
    if paired:
        slow, fast = (Samples(row["stride"], row["milliseconds"]).by_round() for row in (slower, faster))
        ratio = paired_ratio(slow, fast)
    else:
        ratio = unpaired_ratio(slower["milliseconds"], faster["milliseconds"])
    if ratio is None:
        return None
    judged = target is not None and ratio.pairs >= MINIMUM_PAIRS and not ratio.low < target <= ratio.high
    row: dict[str, Any] = {"pairs": ratio.pairs, "paired": paired, "status": "ok" if judged else ratio.status}
    if row["status"] == "ok":
        row |= {key: rounded(getattr(ratio, key)) for key in ("value", "low", "high")}
    if target is not None:
        row["target"] = target
        if row["status"] == "ok":
            row["met"] = row["value"] >= target
    return row


def _side(side: Side) -> dict[str, str]:
    return dict(zip(("backend", "precision", "scenario"), side))
