"""Random numbers that depend on (seed, image index, name) alone.

Every attribute has a stream of its own, so a new attribute does not change the others. The values are the
same on every machine: only integer arithmetic, additions, products and comparisons are used.
"""

from __future__ import annotations

import zlib

import numpy as np


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014), a bijection of 64-bit words."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class Streams:
    """One draw per image from each named stream; ``indices`` are any non-negative integers."""

    def __init__(self, seed: int, indices: np.ndarray) -> None:
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.seed = seed
        self.indices = np.asarray(indices, np.uint64)

    def unit(self, name: str) -> np.ndarray:
        """Uniform in [0, 1)."""
        start = (zlib.crc32(name.encode()) + self.seed * 0x9E3779B97F4A7C15) % 2**64
        stream = np.full(self.indices.shape, start, np.uint64)
        bits = _mix(_mix(_mix(stream) ^ self.indices))
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, name: str, low: float, high: float) -> np.ndarray:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit(name)

    def bell(self, name: str, middle: np.ndarray | float, spread: float) -> np.ndarray:
        """Mean of three uniforms over middle ± spread: bell-shaped and bounded."""
        total = self.unit(name + ".1") + self.unit(name + ".2") + self.unit(name + ".3")
        return middle + spread * (total * (2.0 / 3.0) - 1.0)

    def chance(self, name: str, probability: np.ndarray | float) -> np.ndarray:
        """True with the given probability."""
        return self.unit(name) < probability

    def choice(self, name: str, weights: np.ndarray) -> np.ndarray:
        """Index drawn with ``weights``, one row for all images or one row each; int64."""
        weights = np.broadcast_to(np.asarray(weights, np.float64), (len(self.indices), np.shape(weights)[-1]))
        edges = np.empty_like(weights)
        total = np.zeros(len(self.indices))
        for i in range(weights.shape[1]):
            total = total + weights[:, i]
            edges[:, i] = total
        drawn = self.unit(name) * total
        return np.minimum((drawn[:, None] >= edges).argmin(axis=1), weights.shape[1] - 1)
