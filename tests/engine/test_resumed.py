"""The resumed main path: the plan's bits, with fewer layers run."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
import torch
from torch import Tensor

from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.renderer import Resumed
from stylemap.ops import _native
from tests.engine.test_plan import from_maps
from tests.engine.test_plan import maps_of as made_of
from tests.helpers import needs, tiny

pytestmark = [
    needs.when(_native.loaded(), "the native library is not built"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def plan() -> CpuPlan:
    return CpuPlan(tiny.model())


def maps_of(plan: CpuPlan) -> list[list[Tensor]]:
    return [made_of(plan, plan.stylecodes(w[None])) for w in tiny.stylemaps(2)]


@pytest.mark.parametrize(("taken", "reused"), [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 3)])
def test_starts_at_the_last_kept_layer_before_a_difference(plan: CpuPlan, taken: int, reused: int) -> None:
    a, b = maps_of(plan)
    tested = Resumed(plan)
    keys: list[Hashable] = ["a"] * len(a)
    assert torch.equal(tested(a, keys), from_maps(plan, a))
    mixed = a[:taken] + b[taken:]
    keys = ["a"] * taken + ["b"] * (len(a) - taken)
    assert tested.start(keys) == reused
    assert torch.equal(tested(mixed, keys), from_maps(plan, mixed))
    assert tested.reused == reused


def test_nothing_is_reused_after_forgetting(plan: CpuPlan) -> None:
    a, _ = maps_of(plan)
    tested = Resumed(plan)
    keys: list[Hashable] = [0] * len(a)
    tested(a, keys)
    assert tested.bytes > 0
    tested.forget()
    assert tested.bytes == tested.start(keys) == 0


def test_a_failure_leaves_no_wrong_features(plan: CpuPlan) -> None:
    a, b = maps_of(plan)
    tested = Resumed(plan)
    tested(a, ["a"] * len(a))
    with pytest.raises(RuntimeError):
        tested([*b[:3], a[0], *b[4:]], ["b"] * len(a))
    assert torch.equal(tested(a, ["a"] * len(a)), from_maps(plan, a))
    assert torch.equal(tested(b, ["b"] * len(a)), from_maps(plan, b))
