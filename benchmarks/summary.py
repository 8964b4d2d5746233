"""Statistics of run times, and whether there is enough of them to report: percentiles, ratios, fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Minimum samples to report a percentile.
MINIMUM = {"p50": 5, "p95": 20, "p99": 100}
#: Minimum samples of either side to report a ratio or an interval.
MINIMUM_PAIRS = 3
#: Interquartile range over the median above which a latency is too noisy to report.
NOISY_SPREAD = 0.5
#: Width of the 95 % interval over the value above which a ratio is too noisy to report.
NOISY_WIDTH = 0.3
_RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """How many times as long, with its 95 % confidence interval, from ``pairs`` samples a side.

    All three are NaN where there are too few samples to report.
    """

    value: float
    low: float
    high: float
    pairs: int

    @property
    def status(self) -> str:
        """ "ok", "few" (too few samples to report) or "noisy" (too noisy to report)."""
        if self.pairs < MINIMUM_PAIRS:
            return "few"
        return "ok" if (self.high - self.low) <= NOISY_WIDTH * self.value else "noisy"


def latency(milliseconds: Sequence[float], images: int = 1) -> dict[str, float | str | None]:
    """status, percentiles in milliseconds, images per second, and the spread of the middle half.

    A percentile is None where there are too few samples for it; all are where they are too noisy to report.
    """
    values = np.asarray(milliseconds, dtype=np.float64)
    low, median, high = np.percentile(values, [25, 50, 75])
    spread = float((high - low) / median)
    status = "few" if len(values) < MINIMUM["p50"] else "noisy" if spread > NOISY_SPREAD else "ok"
    found: dict[str, float | str | None] = {"status": status, "spread": round(spread, 3)}
    for name, least in MINIMUM.items():
        enough = status == "ok" and len(values) >= least
        found[name] = rounded(float(np.percentile(values, float(name[1:])))) if enough else None
    found["max"] = rounded(float(values.max())) if status == "ok" else None
    found["fps"] = rounded(1e3 * images / float(values.mean())) if status == "ok" else None
    return found


def paired_ratio(slow: Mapping[int, float], fast: Mapping[int, float]) -> Ratio | None:
    """Median of slow / fast over the rounds both took part in, bootstrapped over the rounds."""
    rounds = sorted(slow.keys() & fast.keys())
    if not rounds:
        return None
    ratios = np.array([slow[i] / fast[i] for i in rounds])
    return _ratio(float(np.median(ratios)), _resampled_medians(ratios, 0), len(rounds))


def unpaired_ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """Ratio of the medians of two series that were not taken in turns, bootstrapped over both."""
    upper, lower = (np.asarray(values, dtype=np.float64) for values in (slow, fast))
    resampled = _resampled_medians(upper, 0) / _resampled_medians(lower, 1)
    return _ratio(float(np.median(upper) / np.median(lower)), resampled, min(len(upper), len(lower)))


def fit(xs: Sequence[float], ys: Sequence[float], kind: str) -> tuple[float, float]:
    """Least squares: (exponent, factor) of y = factor·x^exponent for "power", (slope, offset) for "line"."""
    x, y = np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)
    if kind == "line":
        slope, offset = np.polyfit(x, y, 1)
        return float(slope), float(offset)
    exponent, offset = np.polyfit(np.log(x), np.log(y), 1)
    return float(exponent), float(np.exp(offset))


def rounded(value: float, digits: int = 4) -> float:
    """To so many significant digits."""
    return float(f"{value:.{digits}g}")


def _ratio(value: float, resampled: np.ndarray, pairs: int) -> Ratio:
    if pairs < MINIMUM_PAIRS:
        return Ratio(math.nan, math.nan, math.nan, pairs)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Ratio(value, float(low), float(high), pairs)


def _resampled_medians(values: np.ndarray, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    return np.asarray(np.median(values[drawn], axis=1))
