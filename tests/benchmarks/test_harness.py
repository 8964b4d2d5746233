"""Taking turns: who takes part in which round, and what the samples say."""

from __future__ import annotations

import time

import pytest
import torch

from stylemap.benchmarks import summary
from stylemap.benchmarks.harness import Budget, Clock, Samples, interleave, schedule


def test_all_candidates_do_the_same_steps_in_turns() -> None:
    done: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    order: list[str] = []

    def candidate(name: str):
        def run(step: int) -> None:
            done[name].append(step)
            order.append(name)

        return run

    budget = Budget(1.0, least=4, most=4)
    samples = interleave({name: candidate(name) for name in done}, budget, Clock(torch.device("cpu")))
    assert [len(s.milliseconds) for s in samples.values()] == [4, 4, 4]
    assert all(steps[-4:] == [0, 1, 2, 3] for steps in done.values())
    # The order rotates: nobody always follows the same one.
    assert "".join(order[-12:]) == "abcbcacababc"


def test_a_slow_candidate_is_spread_over_the_run() -> None:
    rounds, strides = schedule({"fast": 10.0, "slow": 1000.0}, Budget(8.0, least=3, most=300))
    assert rounds == 300
    taken = range(0, rounds, strides["slow"])
    assert strides["fast"] == 1
    assert 4 <= len(taken) <= 5
    assert taken[-1] >= 0.8 * rounds


def test_leads_get_most_of_the_time() -> None:
    cost = {"a": 10.0, "b": 10.0, **{f"slow {i}": 100.0 for i in range(8)}}
    budget = Budget(10.0, least=3, most=300, leads=("a", "b"))
    rounds, strides = schedule(cost, budget)
    assert rounds == 300
    assert strides["a"] == strides["b"] == 1
    assert all(len(range(0, rounds, strides[f"slow {i}"])) in (5, 6) for i in range(8))


@pytest.mark.parametrize(
    ("cost", "expected"), [(20_000.0, [0, 1, 2]), (2000.0, [0, 0, 0, 1, 2]), (20.0, [0, 0, 1, 0, 1, 2])]
)
def test_the_first_run_of_something_very_slow_counts(cost: float, expected: list[int]) -> None:
    class Fake(Clock):
        def __call__(self, run, step: int) -> float:
            run(step)
            return cost

    steps: list[int] = []
    samples = interleave({"a": steps.append}, Budget(1.0, least=3, most=3), Fake(torch.device("cpu")))
    assert steps == expected
    assert samples["a"].milliseconds == [cost] * 3


def test_spinning_threads_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    budget = Budget(1e-3, least=2, most=2, spins={"b": 0.5})
    interleave({"a": len, "b": len}, budget, _Instant(torch.device("cpu")))
    # a after b, b after a, then in the other order: b after b, a after b.
    assert [seconds == 0.5 for seconds in waited] == [True, False, True, True]


class _Instant(Clock):
    def __call__(self, run, step: int) -> float:
        return 1.0


@pytest.mark.parametrize("least", [1, 2, 3, 7])
def test_the_least_runs_are_made_whatever_they_take(least: int) -> None:
    rounds, strides = schedule({"fast": 1.0, "slow": 1e6}, Budget(0.2, least, 50))
    assert len(range(0, rounds, strides["slow"])) >= least


def test_interleaved_seconds_are_measured() -> None:
    runs = {"short": lambda step: time.sleep(0.001), "long": lambda step: time.sleep(0.004)}
    samples = interleave(runs, Budget(0.3, 3, 20), Clock(torch.device("cpu")))
    ratio = summary.paired_ratio(samples["long"].by_round(), samples["short"].by_round())
    assert ratio is not None
    assert 2 < ratio.value < 5


def test_percentiles_need_samples() -> None:
    values = [float(v) for v in range(100, 119)]
    few = summary.latency(values)
    assert (few["p50"], few["p95"], few["p99"], few["max"]) == (109, None, None, 118)
    many = summary.latency([100 + v / 10 for v in range(200)], images=16)
    assert many["p95"] == pytest.approx(118.9, abs=0.2)
    assert many["p99"] is not None
    assert many["fps"] == pytest.approx(16e3 / 109.95, rel=1e-3)


def test_an_unsteady_latency_is_not_told() -> None:
    found = summary.latency([1.0, 1.0, 2.0, 3.0, 3.0])
    assert found == {"spread": 1.0, "p50": None, "p95": None, "p99": None, "max": None, "fps": None}


def test_a_ratio_is_told_only_when_it_is_known() -> None:
    steady = summary.paired_ratio({i: 20 + 0.1 * (i % 3) for i in range(30)}, dict.fromkeys(range(30), 10.0))
    assert steady is not None
    assert steady.told
    assert steady.low <= 2.01 <= steady.high
    wild = summary.paired_ratio({i: 10.0 + 30 * (i % 2) for i in range(6)}, dict.fromkeys(range(6), 10.0))
    assert wild is not None
    assert not wild.told
    two = summary.paired_ratio({0: 2.0, 1: 2.0}, {0: 1.0, 1: 1.0})
    assert two is not None
    assert not two.told


def test_only_rounds_of_both_are_compared() -> None:
    slow = Samples(stride=2, milliseconds=[10.0, 20.0, 30.0]).by_round()
    assert slow == {0: 10.0, 2: 20.0, 4: 30.0}
    ratio = summary.paired_ratio(slow, {2: 10.0, 3: 1.0})
    assert ratio is not None
    assert (ratio.value, ratio.pairs) == (2.0, 1)
    assert summary.paired_ratio(slow, {1: 1.0}) is None


def test_a_fit_finds_its_exponent() -> None:
    exponent, factor = summary.slope([1, 2, 4], [3, 12, 48])
    assert exponent == pytest.approx(2)
    assert factor == pytest.approx(3)
    assert summary.line([0, 1, 2], [5, 7, 9]) == pytest.approx((2, 5))
