"""What became slower or faster from one result to another, as far as the samples can tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stylemap.benchmarks.models import TITLES
from stylemap.benchmarks.rivals import LABELS
from stylemap.benchmarks.strokes import SCENARIOS
from stylemap.benchmarks.summary import Ratio, unpaired_ratio

Content = Mapping[str, Any]
Key = tuple[str, str, str, str]  # model, precision, backend, scenario


@dataclass
class Comparison:
    """Lines by verdict. ``drift``: what the rivals' times changed by, in the median of all scenarios."""

    drift: float = 1.0
    slower: list[str] = field(default_factory=list)
    faster: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unsure: int = 0
    compared: int = 0
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        parts = [*self.notes]
        for title, lines in (("slower", self.slower), ("faster", self.faster), ("wrong now", self.wrong)):
            parts += [f"{title}:", *(f"  {line}" for line in lines)] if lines else []
        same = self.compared - len(self.slower) - len(self.faster) - self.unsure
        parts.append(
            f"{self.compared} measurements of the engine compared: {len(self.slower)} slower, "
            f"{len(self.faster)} faster, {same} the same, {self.unsure} too unsteady to tell"
        )
        return "\n".join(parts)


def compare(before: Content, after: Content, threshold: float = 0.05) -> Comparison:
    """Of the engine and its operators. Slower is what the 95 % interval puts above 1 + threshold.

    What the machine did else, and its clock, change all backends alike: the median change of the rivals,
    whose code is the same where their versions are, is divided out: those of the same scenario, which ran
    in the same minutes, and all of them where none took part. Where they disagree, intervals are wider.
    """
    found = Comparison()
    _note_machines(before, after, found)
    old, new = _samples(before), _samples(after)
    shared = [key for key in new if key in old]
    drifts = _Drifts(before, after, old, new)
    found.drift = drifts.all[0]
    if abs(found.drift - 1) > 0.02:
        found.notes.append(f"the rivals take {found.drift:.2f} times as long as before: divided out")
    for key in shared:
        if key[2] == "engine":
            ratio, (drift, doubt) = unpaired_ratio(new[key], old[key]), drifts.of(key)
            low, high = ratio.low / drift / doubt, ratio.high / drift * doubt
            _judge(_name(key), Ratio(ratio.value / drift, low, high, ratio.pairs), threshold, found)
    for name, ratio in _operators(before, after):
        _judge(name, ratio, threshold, found)
    status = {_key(row): row["status"] for row in before.get("edit", [])}
    for row in after.get("edit", []):
        if row["status"] == "wrong" and status.get(_key(row)) in ("ok", "unsteady"):
            found.wrong.append(f"{_name(_key(row))}: error {row['error']:.1e}")
    return found


def _judge(name: str, ratio: Ratio, threshold: float, found: Comparison) -> None:
    found.compared += 1
    line = f"{name}: {ratio.value:.2f} times as long ({ratio.low:.2f} to {ratio.high:.2f})"
    if ratio.low > 1 + threshold:
        found.slower.append(line)
    elif ratio.high < 1 / (1 + threshold):
        found.faster.append(line)
    elif not ratio.told:
        found.unsure += 1


class _Drifts:
    """What rivals' times changed by: a factor, and a factor of doubt from their disagreement."""

    def __init__(
        self, before: Content, after: Content, old: Mapping[Key, list[float]], new: Mapping[Key, list[float]]
    ) -> None:
        versions = [(c["machine"]["torch"], c["machine"]["packages"]) for c in (before, after)]
        self._changes: dict[tuple[str, str], list[float]] = {}
        for key in new if versions[0] == versions[1] else ():
            if key in old and key[2] != "engine":
                change = math.log(statistics.median(new[key]) / statistics.median(old[key]))
                self._changes.setdefault((key[0], key[3]), []).append(change)
        self.all = self._factors([change for changes in self._changes.values() for change in changes])

    def of(self, key: Key) -> tuple[float, float]:
        changes = self._changes.get((key[0], key[3]), [])
        return self._factors(changes) if len(changes) > 1 else self.all

    @staticmethod
    def _factors(changes: list[float]) -> tuple[float, float]:
        if len(changes) < 2:
            return 1.0, 1.0
        return math.exp(statistics.median(changes)), math.exp(statistics.stdev(changes))


def _operators(before: Content, after: Content) -> list[tuple[str, Ratio]]:
    """How much less faster than its definition each operator is: paired in both runs."""
    old = {(row["case"], row["direction"]): row for row in before.get("ops", [])}
    found = []
    for row in after.get("ops", []):
        past = old.get((row["case"], row["direction"]))
        if past is not None:
            # The bounds are those of the least favourable combination.
            values = past["ratio"] / row["ratio"], past["low"] / row["high"], past["high"] / row["low"]
            found.append((f"{row['case']}, {row['direction']}", Ratio(*values, 3)))
    return found


def _note_machines(before: Content, after: Content, found: Comparison) -> None:
    for name in ("cpu", "device", "threads", "torch"):
        values = [content["machine"][name] for content in (before, after)]
        if values[0] != values[1]:
            found.notes.append(f"not the same {name}: {values[0]} before, {values[1]} after")
    scripts = [content["settings"].get("script_digest") for content in (before, after)]
    if scripts[0] != scripts[1]:
        found.notes.append("not the same strokes: edits cannot be compared")


def _samples(content: Content) -> dict[Key, list[float]]:
    return {_key(row): row["milliseconds"] for row in content.get("edit", []) if row["status"] != "wrong"}


def _key(row: Mapping[str, Any]) -> Key:
    return row["model"], row["precision"], row["backend"], row["scenario"]


def _name(key: Key) -> str:
    model, precision, backend, scenario = key
    title = SCENARIOS[scenario].title if scenario in SCENARIOS else scenario
    return f"{TITLES[model]} {precision}, {LABELS.get(backend, backend)}: {title}"
