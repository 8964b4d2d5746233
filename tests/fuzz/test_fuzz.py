"""A short form of `tests.fuzz.run`, without its guide: damaged copies of the good inputs of every parser."""

from __future__ import annotations

import random
import time

import pytest

from tests.fuzz.targets import TARGETS, Target


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One of: other bytes, a piece left out, a piece twice, cut off, a length that claims much."""
    out = bytearray(data or b"\0")
    at, length = rng.randrange(len(out)), rng.choice((1, 2, 4, 8, 64))
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(length):
            out[rng.randrange(len(out))] = rng.randrange(256)
    elif kind == 1:
        del out[at : at + length]
    elif kind == 2:
        out[at:at] = out[at : at + length]
    elif kind == 3:
        del out[at:]
    else:
        out[at : at + length] = rng.choice((b"\xff", b"\x7f", b"\0")) * length
    return bytes(out)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_inputs_are_read_or_refused(target: Target) -> None:
    rng = random.Random(0)
    seeds = target.seeds()
    for seed in seeds:
        target.run(seed)
    end = time.monotonic() + 2  # on a slow machine fewer
    for _ in range(2000):
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 3))):
            data = damaged(data, rng)
        begin = time.monotonic()
        target.run(data)
        assert time.monotonic() - begin < 10
        if begin > end:
            break
