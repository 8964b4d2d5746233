"""Training in the suite: `bench_training` on the cases that fit into its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from stylemap.benchmarks import bench_training as training


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The part "training": the demo model's in both precisions; quick: in one, on images of 32."""
    cases = training.GPU_CASES if device.type == "cuda" else training.CPU_CASES
    cases = cases[:2]
    if quick:
        cases = [replace(cases[0], size=32, batch=4)]
    return {"training": [_rounded(training.measure(case, device, 2)) for case in cases]}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
