"""What became slower or faster from one result to another, as far as the samples show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stylemap.benchmarks.models import TITLES
from stylemap.benchmarks.rivals import LABELS
from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.summary import MINIMUM_PAIRS, Ratio, unpaired_ratio

Content = Mapping[str, Any]
Key = tuple[str, str, str, str]  # model, precision, backend, scenario


@dataclass
class Comparison:
    """Lines by verdict. ``drift``: what the rivals' times changed by, in the median of all scenarios."""

    drift: float = 1.0
    slower: list[str] = field(default_factory=list)
    faster: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    noisy: int = 0
    compared: int = 0
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """What a terminal shows."""
        parts = [*self.notes]
        for title, lines in (("slower", self.slower), ("faster", self.faster), ("wrong now", self.wrong)):
            parts += [f"{title}:", *(f"  {line}" for line in lines)] if lines else []
        same = self.compared - len(self.slower) - len(self.faster) - self.noisy
        parts.append(
            f"{self.compared} measurements of the engine compared: {len(self.slower)} slower, "
            f"{len(self.faster)} faster, {same} the same, {self.noisy} too noisy or too few samples"
        )
        return "\n".join(parts)

    def judge(self, name: str, ratio: Ratio, threshold: float) -> None:
        """Sort one ratio of after to before into slower, faster, the same, or too noisy."""
        self.compared += 1
        line = f"{name}: {ratio.value:.2f} times as long ({ratio.low:.2f} to {ratio.high:.2f})"
        if ratio.low > 1 + threshold:
            self.slower.append(line)
        elif ratio.high < 1 / (1 + threshold):
            self.faster.append(line)
        elif ratio.status != "ok":
            self.noisy += 1


def compare(before: Content, after: Content, threshold: float = 0.05) -> Comparison:
    """Of the engine and its operators. Slower is what the 95 % interval puts above 1 + threshold.

    Other work on the machine, and its clock, change all backends alike. The median change of the rivals,
    whose code is the same where their versions are, is divided out: of those of the same scenario, which ran
    in the same minutes, or of all where none took part. Intervals widen by how much the rivals disagree.
    """
    found = Comparison()
    _note_machines(before, after, found)
    old, new = _samples(before), _samples(after)
    changes = _rival_changes(before, after, old, new)
    every = _factors([change for some in changes.values() for change in some])
    found.drift = every[0]
    if abs(found.drift - 1) > 0.02:
        found.notes.append(f"the rivals take {found.drift:.2f} times as long as before: divided out")
    for key in [key for key in new if key in old and key[2] == "engine"]:
        own = changes.get((key[0], key[3]), [])
        drift, doubt = _factors(own) if len(own) > 1 else every
        ratio = unpaired_ratio(new[key], old[key])
        low, high = ratio.low / drift / doubt, ratio.high / drift * doubt
        found.judge(_name(key), Ratio(ratio.value / drift, low, high, ratio.pairs), threshold)
    past = {(row["case"], row["direction"]): row for row in before.get("ops", [])}
    for row in after.get("ops", []):
        if op := past.get((row["case"], row["direction"])):
            # Both ratios to the definition are paired; the bounds are those of the least favourable case.
            values = op["ratio"] / row["ratio"], op["low"] / row["high"], op["high"] / row["low"]
            found.judge(f"{row['case']}, {row['direction']}", Ratio(*values, 5), threshold)
    for row in after.get("edit", []):
        if row["status"] == "wrong" and _key(row) in old:
            found.wrong.append(f"{_name(_key(row))}: error {row['error']:.1e}")
    return found


def _rival_changes(
    before: Content, after: Content, old: Mapping[Key, list[float]], new: Mapping[Key, list[float]]
) -> dict[tuple[str, str], list[float]]:
    """Logarithms of what the rivals' medians changed by, by model and scenario; none for other versions."""
    found: dict[tuple[str, str], list[float]] = {}
    versions = [(c["machine"]["torch"], c["machine"]["packages"]) for c in (before, after)]
    if versions[0] == versions[1]:
        for key in new:
            enough = key in old and min(len(old[key]), len(new[key])) >= MINIMUM_PAIRS
            if enough and key[2] != "engine":
                change = math.log(statistics.median(new[key]) / statistics.median(old[key]))
                found.setdefault((key[0], key[3]), []).append(change)
    return found


def _factors(changes: list[float]) -> tuple[float, float]:
    """The median change as a factor, and a factor of doubt from how much the changes disagree."""
    if len(changes) < 2:
        return 1.0, 1.0
    return math.exp(statistics.median(changes)), math.exp(statistics.stdev(changes))


def _note_machines(before: Content, after: Content, found: Comparison) -> None:
    for name in ("cpu", "device", "threads", "torch"):
        values = [content["machine"][name] for content in (before, after)]
        if values[0] != values[1]:
            found.notes.append(f"not the same {name}: {values[0]} before, {values[1]} after")
    if before["timing"] != after["timing"]:
        found.notes.append("not the same timing rules: times cannot be compared")
    if before["settings"].get("script_digest") != after["settings"].get("script_digest"):
        found.notes.append("not the same strokes: edits cannot be compared")


def _samples(content: Content) -> dict[Key, list[float]]:
    return {_key(row): row["milliseconds"] for row in content.get("edit", []) if row["status"] != "wrong"}


def _key(row: Mapping[str, Any]) -> Key:
    return row["model"], row["precision"], row["backend"], row["scenario"]


def _name(key: Key) -> str:
    model, precision, backend, scenario = key
    title = SCENARIOS[scenario].title if scenario in SCENARIOS else scenario
    return f"{TITLES[model]} {precision}, {LABELS.get(backend, backend)}: {title}"
