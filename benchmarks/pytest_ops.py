"""Every operator under pytest-benchmark, ours and its definition, forward and backward.

    python -m pytest benchmarks/pytest_ops.py --benchmark-only [-k "modulate and forward"]
        [--benchmark-json FILE]

Bandwidth is in extra_info. The two sides run one after the other here, in `stylemap bench ops` in turns.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stylemap.benchmarks.bench_ops import Case, cases, check, sides
from stylemap.benchmarks.part_ops import backwards


@pytest.mark.parametrize("side", ["native", "reference"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_operator(case: Case, direction: str, side: str, benchmark: Any) -> None:
    index = ("native", "reference").index(side)
    with torch.no_grad():
        native, definition, size = sides(case)
        check(case, native(), definition())
    if direction == "backward":
        benchmark(backwards(case)[index])
        return
    with torch.no_grad():
        benchmark((native, definition)[index])
    if benchmark.stats is not None:
        benchmark.extra_info["gb_per_s"] = size / benchmark.stats.stats.median / 1e9
