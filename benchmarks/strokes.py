"""Recorded editing: what a hand did, as a script that every backend plays alike.

A script follows from its seed alone, and from no model or machine. Lengths are in 1/256 of the image's
side, so that the same script plays at every size; brushes of 64 and 128 are a quarter and half of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

UNITS = 256
SEED = 7
FRAMES = 16
_STROKE = 12  # stamps of one stroke


@dataclass(frozen=True)
class Part:
    """A part of photo ``photo``: the union of squares (x, y, side), moved by ``shift`` (dx, dy)."""

    photo: int
    squares: tuple[tuple[int, int, int], ...]
    shift: tuple[int, int] = (0, 0)

    def mask(self, size: int) -> Tensor:
        """S×S, 1 where it is on."""
        mask = torch.zeros(size, size)
        for x, y, side in self.squares:
            left, top, right, bottom = (v * size // UNITS for v in (x, y, x + side, y + side))
            mask[max(0, top) : bottom, max(0, left) : right] = 1
        return mask

    def pixels(self, size: int) -> tuple[int, int]:
        """The shift in pixels."""
        dx, dy = self.shift
        return round(dx * size / UNITS), round(dy * size / UNITS)


@dataclass(frozen=True)
class Step:
    """One thing asked for: photo ``original`` with these parts laid over it, an image per weight."""

    original: int
    parts: tuple[Part, ...]
    weights: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Scenario:
    """kind: what a backend is asked for: open, encode, decode, edit, mix, request or batch.
    images: that one step of it makes.
    """

    title: str
    kind: str
    steps: Callable[[random.Random], list[Step]]
    images: int = 1


def script(name: str, seed: int = SEED) -> list[Step]:
    """The steps of a scenario; after the last one it starts again."""
    return SCENARIOS[name].steps(random.Random(f"{seed} {name}"))


def digest(names: list[str], seed: int = SEED) -> str:
    """Twelve digits that are equal for equal scripts."""
    steps = {name: [dataclasses.asdict(step) for step in script(name, seed)] for name in sorted(names)}
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()[:12]


def _paint(brush: int, least: int, most: int) -> Callable[[random.Random], list[Step]]:
    """A brush that follows the hand along curves, with ``least`` to ``most`` references."""

    def steps(rng: random.Random) -> list[Step]:
        found = []
        for stroke in range(10):
            count = least + stroke % (most - least + 1)
            path = _curve(rng, brush)
            shifts = [(rng.randint(-40, 40), rng.randint(-40, 40)) for _ in range(count)]
            for x, y in path:
                parts = []
                for number, shift in enumerate(shifts):
                    # The second and third brush paint beside the first, partly over it.
                    offset = number * brush // 2
                    square = ((x + offset) % (UNITS - brush + 1), y, brush)
                    parts.append(Part(1 + number, (square,), shift))
                found.append(Step(0, tuple(parts)))
        return found

    return steps


def _stroke(rng: random.Random) -> list[Step]:
    """The mask grows along a stroke, one stamp of 32 a frame."""
    found = []
    for _ in range(10):
        shift = (rng.randint(-30, 30), rng.randint(-30, 30))
        path = _curve(rng, 32)
        for end in range(1, len(path) + 1):
            found.append(Step(0, (Part(1, tuple((x, y, 32) for x, y in path[:end]), shift),)))
    return found


def _drag(rng: random.Random) -> list[Step]:
    """A part of 96 is carried across the image and back: the mask stays, the shift changes."""
    x, y = rng.randint(60, 100), rng.randint(60, 100)
    phase = rng.uniform(0, math.tau)
    moves = [(math.tau * t / 60 + phase, math.tau * t / 30) for t in range(60)]
    shifts = [(round(70 * math.cos(a)), round(50 * math.sin(b))) for a, b in moves]
    return [Step(0, (Part(1, ((x, y, 96),), shift),)) for shift in shifts]


def _slider(rng: random.Random) -> list[Step]:
    """A hand moves the weight up and down in 16 steps; the mask stays."""
    square = (rng.randint(40, 150), rng.randint(40, 150), 64)
    part = Part(1, (square,), (rng.randint(-30, 30), 12))
    up = [t / (FRAMES - 1) for t in range(FRAMES)]
    return [Step(0, (part,), (weight,)) for weight in (*up, *reversed(up))]


def _strip(rng: random.Random) -> list[Step]:
    """All 16 frames asked for at once."""
    weights = tuple(t / (FRAMES - 1) for t in range(FRAMES))
    return [Step(step.original, step.parts, weights) for step in _paint(64, 1, 1)(rng)]


def _switch(rng: random.Random) -> list[Step]:
    """The same mask, filled from one photo after the other."""
    square = (rng.randint(40, 100), rng.randint(40, 100), 96)
    return [Step(0, (Part(1 + i % 3, (square,)),)) for i in range(30)]


def _pairs(rng: random.Random) -> list[Step]:
    """Two photos; what is done with them does not depend on a mask."""
    chosen = [rng.sample(range(4), 2) for _ in range(12)]
    return [Step(a, (Part(b, ((64, 64, 64),)),)) for a, b in chosen]


def _curve(rng: random.Random, brush: int) -> list[tuple[int, int]]:
    """Positions of a brush along a smooth curve inside the frame."""
    room = UNITS - brush
    corners = [(rng.uniform(0, room), rng.uniform(0, room)) for _ in range(3)]
    found = []
    for i in range(_STROKE):
        t = i / (_STROKE - 1)
        weights = ((1 - t) ** 2, 2 * t * (1 - t), t * t)
        x, y = (sum(w * corner[axis] for w, corner in zip(weights, corners)) for axis in (0, 1))
        found.append((round(x), round(y)))
    return found


SCENARIOS: dict[str, Scenario] = {
    "open": Scenario("open a photo", "open", _pairs),
    "encode": Scenario("encode", "encode", _pairs),
    "decode": Scenario("decode", "decode", _pairs),
    "paint_64": Scenario("paint, brush 64, 1 reference", "edit", _paint(64, 1, 1)),
    "paint_64_many": Scenario("paint, brush 64, 2–3 references", "edit", _paint(64, 2, 3)),
    "paint_128": Scenario("paint, brush 128, 1 reference", "edit", _paint(128, 1, 1)),
    "paint_128_many": Scenario("paint, brush 128, 2–3 references", "edit", _paint(128, 2, 3)),
    "stroke": Scenario("paint a stroke, the mask grows", "edit", _stroke),
    "drag": Scenario("drag a reference", "edit", _drag),
    "slider": Scenario("move a slider", "edit", _slider),
    "switch": Scenario("switch the reference", "edit", _switch),
    "mix": Scenario("mix styles", "mix", _pairs),
    "strip": Scenario("strip of 16 frames", "edit", _strip, FRAMES),
    "request": Scenario("one request of the published demo", "request", _strip, FRAMES),
    "batch_8": Scenario("8 users at once", "batch", _paint(64, 1, 1), 8),
    "batch_32": Scenario("32 users at once", "batch", _paint(64, 1, 1), 32),
}
