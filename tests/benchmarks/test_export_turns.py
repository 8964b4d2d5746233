"""The export benchmark's turns and its table."""

from __future__ import annotations

import time

import torch

from stylemap.benchmarks.export_turns import in_turns, table


def slept(seconds: float) -> torch.Tensor:
    time.sleep(seconds)
    return torch.zeros(())


def test_ratio_of_two_sides() -> None:
    row = in_turns(lambda: slept(0.02), lambda: slept(0.002), 0.3)
    assert row["rounds"] >= 5
    assert row["median_ms"] >= 20
    assert row["engine_median_ms"] >= 2
    low, high = row["ratio_interval"]
    assert 1 < low <= row["ratio"] <= high


def test_table() -> None:
    timed = {"median_ms": 2.0, "spread": 0.05, "engine_median_ms": 4.0, "ratio": 0.5, "error": 1e-6}
    rows = [
        {"backend": "A fp32", "operation": "encode", **timed},
        {"backend": "A fp32", "operation": "decode", "error": 0.3, "wrong": True},
    ]
    lines = table(rows).splitlines()
    assert lines[2] == "| engine fp32 | 4.0 |  |  |"
    assert lines[3] == "| A fp32 | 2.0 (0.50×, 5%; 1e-06) | not precise enough | not precise enough |"
