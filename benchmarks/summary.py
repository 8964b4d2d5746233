"""What samples of run times say, and whether they say anything: percentiles, ratios with confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Fewest samples for a percentile to be told: ten of them lie beyond p95 and p99 once in a while.
LEAST = {"p95": 20, "p99": 100}
#: Interquartile range over the median beyond which a latency is not reported.
UNSTEADY = 0.5
#: Width of the 95 % interval over the value beyond which a ratio is not reported.
UNSURE = 0.3
_RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """How many times longer, with the bounds of its 95 % confidence interval, from ``pairs`` pairs."""

    value: float
    low: float
    high: float
    pairs: int

    @property
    def told(self) -> bool:
        """Whether it is known well enough to be reported."""
        return self.pairs >= 3 and (self.high - self.low) <= UNSURE * self.value


def latency(milliseconds: Sequence[float], images: int = 1) -> dict[str, float | None]:
    """Percentiles in milliseconds, images per second, and the spread of the middle half.

    p95 and p99 are None where there are too few samples for them. All but ``spread`` are None where that
    is too large for the numbers to mean anything.
    """
    values = np.asarray(milliseconds, dtype=np.float64)
    low, median, high = np.percentile(values, [25, 50, 75])
    spread = float((high - low) / median)
    found: dict[str, float | None] = {"spread": round(spread, 3)}
    told = spread <= UNSTEADY
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99)):
        enough = told and len(values) >= LEAST.get(name, 1)
        found[name] = _rounded(float(np.percentile(values, share))) if enough else None
    found["max"] = _rounded(float(values.max())) if told else None
    found["fps"] = _rounded(1e3 * images / float(values.mean())) if told else None
    return found


def paired_ratio(slow: Mapping[int, float], fast: Mapping[int, float], seed: int = 0) -> Ratio | None:
    """Median over the rounds both took part in of slow / fast, bootstrapped over the rounds."""
    rounds = sorted(slow.keys() & fast.keys())
    if not rounds:
        return None
    ratios = np.array([slow[i] / fast[i] for i in rounds])
    low, high = _interval(_resampled_medians(ratios, seed))
    return Ratio(float(np.median(ratios)), low, high, len(rounds))


def unpaired_ratio(after: Sequence[float], before: Sequence[float], seed: int = 0) -> Ratio:
    """Ratio of the medians of two runs that had nothing to do with each other, bootstrapped over both."""
    new, old = (np.asarray(values, dtype=np.float64) for values in (after, before))
    resampled = _resampled_medians(new, seed) / _resampled_medians(old, seed + 1)
    low, high = _interval(resampled)
    return Ratio(float(np.median(new) / np.median(old)), low, high, min(len(new), len(old)))


def slope(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Exponent e and factor f of the power law y = f·x^e that fits best, by least squares of logarithms."""
    exponent, offset = np.polyfit(np.log(xs), np.log(ys), 1)
    return float(exponent), float(np.exp(offset))


def line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Slope and offset of the straight line that fits best."""
    rise, offset = np.polyfit(np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64), 1)
    return float(rise), float(offset)


def _resampled_medians(values: np.ndarray, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    return np.asarray(np.median(values[drawn], axis=1))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _rounded(value: float) -> float:
    """Four significant digits: nothing here is known better."""
    return float(f"{value:.4g}")
