"""The one timer: all candidates take turns at the same step, round after round.

Whatever else the machine does then hits all of them, and two candidates can be compared round by round.
A candidate that is much slower than the others takes part in every k-th round only; it runs once untimed
first, because the others were warm from the round before. The order in a round is random.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

#: Runs step number i of a recorded script.
Run = Callable[[int], Any]
#: Of the rules in this file: results of different versions are not mixed in one document.
VERSION = 2
_CACHE_BYTES = 512 << 20  # several times the second-level cache of any GPU
_PAUSE = 0.003  # seconds between two candidates: threads of the one before stop spinning
_SLOW = 1500.0  # milliseconds of a first run above which a second one warms up enough
_LEADERS_SHARE = 0.6


@dataclass
class Samples:
    """Milliseconds of one candidate, which took part in rounds 0, stride, 2·stride, …"""

    stride: int = 1
    milliseconds: list[float] = field(default_factory=list)

    def by_round(self) -> dict[int, float]:
        """Milliseconds by the number of the round."""
        return {i * self.stride: value for i, value in enumerate(self.milliseconds)}

    @property
    def median(self) -> float:
        """Of the milliseconds."""
        return statistics.median(self.milliseconds)

    @property
    def spread(self) -> float:
        """The interquartile range over the median; 0 for a single sample."""
        if len(self.milliseconds) < 2:
            return 0.0
        low, median, high = statistics.quantiles(self.milliseconds, n=4, method="inclusive")
        return (high - low) / median if median else 0.0


class Clock:
    """Milliseconds of one run: host time on a CPU; device events after a cache flush on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            self._flush = torch.empty(_CACHE_BYTES, dtype=torch.int8, device=device)

    def __call__(self, run: Run, step: int) -> float:
        """Milliseconds of step number ``step``."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            run(step)
            return 1e3 * (time.perf_counter() - start)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        # The flush also hides the time that the host takes to launch the run.
        self._flush.zero_()
        begin.record()
        run(step)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Budget:
    """seconds: of all candidates together. least, most: rounds.

    leaders: candidates that take part in every round; they get more than half of the time.
    spins: seconds for which threads of a candidate keep a core busy after it has finished.
    """

    seconds: float
    least: int = 5
    most: int = 300
    leaders: tuple[str, ...] = ()
    spins: Mapping[str, float] = field(default_factory=dict)


def interleave(candidates: Mapping[str, Run], budget: Budget, clock: Clock) -> dict[str, Samples]:
    """Time every candidate within the budget, as far as ``least`` allows it; each is warmed up first."""
    cost = {name: _warm_up(run, clock) for name, run in candidates.items()}
    rounds, strides = schedule(cost, budget)
    samples = {name: Samples(strides[name]) for name in candidates}
    order = random.Random(0)
    names = list(candidates)
    before = names[-1]
    for number in range(rounds):
        for name in order.sample(names, len(names)):
            if number % strides[name] == 0:
                time.sleep(budget.spins.get(before, _PAUSE))
                if strides[name] > 1:
                    candidates[name](number)
                samples[name].milliseconds.append(round(clock(candidates[name], number), 4))
                before = name
    return samples


def compare(
    candidates: Mapping[str, Callable[[], Any]], clock: Clock, budget: Budget | None = None
) -> dict[str, Samples]:
    """`interleave` for candidates that do the same at every step; 15 rounds unless a budget is given."""
    runs: dict[str, Run] = {name: _ignoring_step(run) for name, run in candidates.items()}
    return interleave(runs, budget or Budget(0.0, 15, 15), clock)


def captured(run: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """``run`` as the replay of a CUDA graph, which takes no host time; on a CPU ``run`` itself.

    Raises:
        RuntimeError: it cannot be captured.
    """
    if device.type != "cuda":
        return run
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _ignoring_step(run: Callable[[], Any]) -> Run:
    return lambda _: run()


def _warm_up(run: Run, clock: Clock) -> float:
    """Milliseconds of a run that is not the first."""
    first = clock(run, 0)
    cost = clock(run, 0)
    return cost if first > _SLOW else clock(run, 1)


def schedule(cost: Mapping[str, float], budget: Budget) -> tuple[int, dict[str, int]]:
    """Number of rounds, and in every how many each candidate takes part; ``cost`` in milliseconds."""
    leaders = [name for name in budget.leaders if name in cost] or [min(cost, key=cost.__getitem__)]
    others = len(cost) - len(leaders)
    share = _LEADERS_SHARE if others else 1.0
    if not budget.leaders:
        share = 1 / len(cost)
    rounds = int(1e3 * share * budget.seconds / max(sum(cost[name] for name in leaders), 1e-3))
    rounds = max(budget.least, min(budget.most, rounds))
    each = 1e3 * (1 - share) * budget.seconds / max(1, others)
    strides = dict.fromkeys(leaders, 1)
    for name in cost.keys() - strides.keys():
        # Half of its runs are untimed.
        runs = max(budget.least, min(rounds, math.floor(each / max(2 * cost[name], 1e-3))))
        strides[name] = max(1, (rounds - 1) // max(1, runs - 1)) if runs < rounds else 1
    return rounds, strides
