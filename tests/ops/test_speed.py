"""The CPU kernels beat the definitions they replace: paired runs on two threads."""

from __future__ import annotations

import pytest
import torch

from benchmarks.bench_ops import Case, measure
from tests.ops.common import threads

FEATURES = (1, 128, 256, 256)
BOUNDS = [
    (Case("bias_act", FEATURES), 3.0),
    (Case("bias_act", FEATURES, channels_last=True), 3.0),
    (Case("upfirdn2d", FEATURES, option="blur"), 5.0),
    (Case("upfirdn2d", FEATURES, option="blur", channels_last=True), 5.0),
    (Case("modulate", FEATURES, option="LayerNorm"), 2.0),
    (Case("modulate", FEATURES, option="LayerNorm", channels_last=True), 2.0),
]


@pytest.mark.speed
@pytest.mark.parametrize(("case", "bound"), BOUNDS, ids=str)
def test_faster_than_the_reference(case: Case, bound: float) -> None:
    ratios = []
    with torch.inference_mode(), threads(2):
        for _ in range(3):
            # Other work on the machine can spoil one measurement, hardly three. The reference of
            # upfirdn2d takes too long for medians.
            ratios.append(measure(case, rounds=3, repeats=1 if case.op == "upfirdn2d" else 3).ratio)
            if ratios[-1] >= bound:
                return
    pytest.fail(f"{case}: {max(ratios):.2f} times as fast as the reference, {bound} expected")
