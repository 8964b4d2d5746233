"""Timing in turns: all candidates do the same step, one after the other, round after round.

What else the machine does then hits all of them, and two candidates can be compared round by round.
A candidate that is much slower than the others takes part in every k-th round, spread over the whole
run, so that it does not take all the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

#: Runs step number i of a recorded script.
Run = Callable[[int], Any]
#: Several times the second-level cache of any GPU.
_FLUSH_BYTES = 512 << 20
# Between two candidates: threads of the one before stop spinning.
_PAUSE = 0.003
# Milliseconds of a first run: beyond the one a second run warms up enough, beyond the other it takes so long
# that the first one counts.
_SLOW, _SLOWEST = 1500.0, 10_000.0
_LEADS = 0.6


@dataclass
class Samples:
    """Milliseconds of one candidate, which took part in rounds 0, stride, 2·stride, …"""

    stride: int = 1
    milliseconds: list[float] = field(default_factory=list)

    def by_round(self) -> dict[int, float]:
        return {i * self.stride: value for i, value in enumerate(self.milliseconds)}


class Clock:
    """Milliseconds of one run: by the clock on a CPU, by device events and with a cold cache on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            self._flush = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device=device)

    def __call__(self, run: Run, step: int) -> float:
        if self.device.type != "cuda":
            start = time.perf_counter()
            run(step)
            return 1e3 * (time.perf_counter() - start)
        self._flush.zero_()
        torch.cuda.synchronize(self.device)
        start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start_event.record()
        run(step)
        end_event.record()
        end_event.synchronize()
        return float(start_event.elapsed_time(end_event))


@dataclass(frozen=True)
class Budget:
    """seconds: of all candidates together. most: rounds at most. least: runs of each at least.

    leads: those that take part in every round; they get more than half of the time.
    spins: seconds for which threads of a candidate keep a core busy when it has finished, if that is long.
    """

    seconds: float
    least: int = 3
    most: int = 300
    leads: tuple[str, ...] = ()
    spins: Mapping[str, float] = field(default_factory=dict)


def interleave(candidates: Mapping[str, Run], budget: Budget, clock: Clock) -> dict[str, Samples]:
    """Time every candidate within the budget, as far as ``least`` allows it; each is warmed up first."""
    cost = {name: _warmed_up(run, clock) for name, run in candidates.items()}
    rounds, strides = schedule(cost, budget)
    samples = {name: Samples(strides[name]) for name in candidates}
    names = list(candidates)
    before = names[-1]
    for number in range(rounds):
        # Nobody always runs after the same one.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if number % strides[name] == 0:
                if number == 0 and cost[name] >= _SLOWEST:
                    milliseconds = cost[name]
                else:
                    time.sleep(budget.spins.get(before, _PAUSE))
                    milliseconds = clock(candidates[name], number)
                before = name
                samples[name].milliseconds.append(round(milliseconds, 4))
    return samples


def _warmed_up(run: Run, clock: Clock) -> float:
    """Milliseconds of a run that is not the first, unless the first shows that another takes too long."""
    cost = clock(run, 0)
    if cost < _SLOWEST:
        cost = clock(run, 0)
    if cost < _SLOW:
        cost = clock(run, 1)
    return cost


def schedule(cost: Mapping[str, float], budget: Budget) -> tuple[int, dict[str, int]]:
    """Number of rounds, and in every how many each candidate takes part; ``cost`` in milliseconds."""
    leads = [name for name in budget.leads if name in cost] or [min(cost, key=cost.__getitem__)]
    others = len(cost) - len(leads)
    part = _LEADS if others else 1.0
    if not budget.leads:
        part = 1 / len(cost)
    rounds = int(1e3 * part * budget.seconds / max(sum(cost[name] for name in leads), 1e-3))
    rounds = max(budget.least, min(budget.most, rounds))
    share = 1e3 * (1 - part) * budget.seconds / max(1, others)
    strides = dict.fromkeys(leads, 1)
    for name in cost.keys() - strides.keys():
        runs = max(budget.least, min(rounds, math.floor(share / max(cost[name], 1e-3))))
        # The last of them has to fall into the run.
        strides[name] = max(1, (rounds - 1) // max(1, runs - 1)) if runs < rounds else 1
    return rounds, strides
