"""Divergence, seen when it happens: losses that no images can have, and losses that rise fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

PIXEL_LIMIT = 4.0  # the mean square, or absolute, difference of two images in [-1, 1] is at most this
_PIXELS = ("x_rec", "local_src", "local_ref")
_SPIKE = 1e4  # of those, in a single iteration
_LIMIT = 1e8  # of every other loss
_WATCHED = ("x_rec", "perceptual", "efficientnet")
_RISE = 2.0
_FORGET = 1.002  # per iteration: what the loss was 350 iterations ago counts double
_WEIGHT = 0.9
_SETTLED = 20  # iterations after which a smoothed loss says something


class Watch:
    """The smoothed losses of a run, and how low they have lately been.

    saved: `state_dict` of the watch that is continued.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        # For each loss: its smoothed value, the weight that has gone into it, iterations, and the recent low.
        self._levels: dict[str, list[float]] = {
            name: [float(value) for value in level] for name, level in (saved or {}).items()
        }

    def add(self, losses: Mapping[str, float]) -> str | None:
        """Takes the losses of an iteration. Returns None, or which one shows that training diverges."""
        for name, value in losses.items():
            if not math.isfinite(value) or abs(value) > (_SPIKE if name in _PIXELS else _LIMIT):
                return f"loss {name} is {value:.4g}"
            total, share, count, low = self._levels.get(name, [0.0, 0.0, 0.0, math.inf])
            total, share = _WEIGHT * total + (1 - _WEIGHT) * value, _WEIGHT * share + (1 - _WEIGHT)
            level, count = total / share, count + 1
            if count >= _SETTLED:
                low = min(low * _FORGET, level)
                if name in _PIXELS and level > PIXEL_LIMIT:
                    return f"loss {name} is {level:.4g}"
            self._levels[name] = [total, share, count, low]
        return None

    @property
    def rising(self) -> bool:
        """Whether a reconstruction loss is at more than twice of what it has lately been."""
        return any(
            total / share > _RISE * low
            for name, (total, share, _, low) in self._levels.items()
            if name in _WATCHED
        )

    def state_dict(self) -> dict[str, list[float]]:
        return {name: list(level) for name, level in self._levels.items()}
