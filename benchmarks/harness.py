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
# Milliseconds beyond which what a first run takes longer than others is nothing to it.
_SLOW = 1500.0


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
    """seconds: of all candidates together. most: rounds at most. least: runs of each at least."""

    seconds: float
    least: int = 3
    most: int = 300


def interleave(candidates: Mapping[str, Run], budget: Budget, clock: Clock) -> dict[str, Samples]:
    """Time every candidate within the budget, as far as ``least`` allows it; each is warmed up first."""
    cost = {name: _warmed_up(run, clock) for name, run in candidates.items()}
    rounds, strides = schedule(cost, budget)
    samples = {name: Samples(strides[name]) for name in candidates}
    names = list(candidates)
    for number in range(rounds):
        # Nobody always runs after the same one.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if number % strides[name] == 0:
                time.sleep(_PAUSE)
                samples[name].milliseconds.append(round(clock(candidates[name], number), 4))
    return samples


def _warmed_up(run: Run, clock: Clock) -> float:
    """Milliseconds of a run that is not the first, unless the first shows that another takes too long."""
    cost = clock(run, 0)
    for step in (0, 1):
        if cost < _SLOW:
            cost = clock(run, step)
    return cost


def schedule(cost: Mapping[str, float], budget: Budget) -> tuple[int, dict[str, int]]:
    """Number of rounds, and in every how many each candidate takes part; ``cost`` in milliseconds."""
    share = 1e3 * budget.seconds / len(cost)
    rounds = max(budget.least, min(budget.most, int(share / max(min(cost.values()), 1e-3))))
    strides = {}
    for name, each in cost.items():
        runs = max(budget.least, min(rounds, math.floor(share / max(each, 1e-3))))
        # The last of them has to fall into the run.
        strides[name] = max(1, (rounds - 1) // max(1, runs - 1)) if runs < rounds else 1
    return rounds, strides
