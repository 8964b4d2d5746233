"""Ranges of activations for quantisation, from histograms over given inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylemap.program import Folded, PlainLowering, Weights

METHODS = ("minmax", "percentile", "entropy")
BINS = 2048
LEVELS = 256
_PERCENTILE = 99.99
_STEPS = 64


@dataclass
class Histogram:
    """Values of one activation: limits that include 0, and how many lie in each of BINS parts between."""

    low: float
    high: float
    counts: Tensor

    def range(self, method: str) -> tuple[float, float]:
        """The limits to quantise between; values outside are clipped."""
        if method == "minmax" or self.low == self.high:
            return self.low, self.high
        return self._percentile() if method == "percentile" else self._entropy()

    def _at(self, edge: float) -> float:
        return self.low + (self.high - self.low) * edge / BINS

    def _percentile(self) -> tuple[float, float]:
        """Cut (100 − percentile)/2 of the values on each side."""
        share = torch.cumsum(self.counts, 0) / self.counts.sum()
        tail = (1 - _PERCENTILE / 100) / 2
        first = int(torch.searchsorted(share, tail))
        last = int(torch.searchsorted(share, 1 - tail)) + 1
        return min(0.0, self._at(first)), max(0.0, self._at(last))

    def _entropy(self) -> tuple[float, float]:
        """The limits whose 256 levels lose the least information about the distribution
        (Kullback-Leibler divergence), among the full range shrunk in steps on both sides."""
        best = min((self._divergence(step / _STEPS), -step) for step in range(_STEPS // 4, _STEPS + 1))
        share = -best[1] / _STEPS
        return self.low * share, self.high * share

    def _divergence(self, share: float) -> float:
        """Between the histogram clipped to ``share`` of its range, and the same after quantisation."""
        counts = self.counts.numpy()
        zero = -self.low / (self.high - self.low) * BINS
        first, last = round(zero * (1 - share)), round(zero + (BINS - zero) * share)
        inner = counts[first:last]
        if len(inner) < LEVELS:
            return float("inf")
        clipped = inner.copy()
        clipped[0] += counts[:first].sum()
        clipped[-1] += counts[last:].sum()
        # Every level spreads its values evenly over the bins in it that hold any.
        starts = np.arange(LEVELS) * len(inner) // LEVELS
        filled = (inner > 0).astype(np.float64)
        mean = np.add.reduceat(inner, starts) / np.maximum(np.add.reduceat(filled, starts), 1)
        spread = filled * np.repeat(mean, np.diff(starts, append=len(inner)))
        p, q = clipped / clipped.sum(), spread / spread.sum()
        known = p > 0
        return float((p[known] * np.log(p[known] / np.maximum(q[known], 1e-12))).sum())


class Recorder(PlainLowering):
    """Runs a network in float32 and keeps what goes into and comes out of every convolution.

    The first pass finds the limits, the second the histograms between them. Names are those of the
    layers, with "/input" and "/output".
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.limits: dict[str, tuple[float, float]] = {}
        self.histograms: dict[str, Histogram] = {}
        self.counting = False

    def convolution(self, x: Tensor, name: str, folded: Folded, **how: Any) -> Tensor:
        """`PlainLowering.convolution`; its input and output are noted."""
        made = super().convolution(self._keep(x, f"{name}/input"), name, folded, **how)
        return self._keep(made, f"{name}/output")

    def _keep(self, x: Tensor, name: str) -> Tensor:
        if not self.counting:
            low, high = self.limits.get(name, (0.0, 0.0))
            self.limits[name] = min(low, float(x.min())), max(high, float(x.max()))
            return x
        low, high = self.limits[name]
        if name not in self.histograms:
            self.histograms[name] = Histogram(low, high, torch.zeros(BINS, dtype=torch.float64))
        self.histograms[name].counts += torch.histc(x.float(), BINS, low, high).double()
        return x


def calibrate(weights: Weights, runs: Sequence[Callable[[Recorder], object]]) -> dict[str, Histogram]:
    """Histograms of all activations; each run computes a network on a Recorder, and is made twice."""
    recorder = Recorder(weights)
    with torch.no_grad():
        for counting in (False, True):
            recorder.counting = counting
            for run in runs:
                run(recorder)
    return recorder.histograms
