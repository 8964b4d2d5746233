"""Taking turns: who takes part in which round, and what the samples say."""

from __future__ import annotations

import math
import time

import pytest
import torch

from stylemap.benchmarks import summary
from stylemap.benchmarks.timing import Budget, Clock, Samples, interleave, schedule


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
    # The order is random: no candidate always follows the same one.
    rounds = ["".join(order[-12:][i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert len(set(rounds)) > 1


def test_a_candidate_that_sat_out_is_warm_when_it_is_timed() -> None:
    class Fake(Clock):
        def __call__(self, run, step: int) -> float:
            run(step)
            timed.append((run.__self__, step))
            return 1000.0 if run.__self__ is slow else 10.0

    slow: list[int] = []
    fast: list[int] = []
    timed: list[tuple[list[int], int]] = []
    budget = Budget(0.1, least=5, most=40, leaders=("fast",))
    samples = interleave({"fast": fast.append, "slow": slow.append}, budget, Fake(torch.device("cpu")))
    stride = samples["slow"].stride
    assert stride == 1  # 0.1 s leave no more than the least rounds
    timed.clear(), slow.clear()
    budget = Budget(1.0, least=5, most=40, leaders=("fast",))
    samples = interleave({"fast": fast.append, "slow": slow.append}, budget, Fake(torch.device("cpu")))
    stride = samples["slow"].stride
    assert stride > 1
    rounds = [step for run, step in timed if run is slow][3:]
    assert rounds == list(range(0, 40, stride))
    assert slow[3:] == [step for step in rounds for _ in range(2)]


def test_a_slow_candidate_is_spread_over_the_run() -> None:
    rounds, strides = schedule({"fast": 10.0, "slow": 1000.0}, Budget(8.0, least=3, most=300))
    assert rounds == 300
    taken = range(0, rounds, strides["slow"])
    assert strides["fast"] == 1
    assert 3 <= len(taken) <= 4
    assert taken[-1] >= 0.66 * rounds


def test_leaders_get_most_of_the_time() -> None:
    cost = {"a": 10.0, "b": 10.0, **{f"slow {i}": 100.0 for i in range(8)}}
    budget = Budget(10.0, least=3, most=300, leaders=("a", "b"))
    rounds, strides = schedule(cost, budget)
    assert rounds == 300
    assert strides["a"] == strides["b"] == 1
    assert all(len(range(0, rounds, strides[f"slow {i}"])) in (3, 4) for i in range(8))


@pytest.mark.parametrize(("cost", "warm_up"), [(2000.0, [0, 0]), (20.0, [0, 0, 1])])
def test_no_cold_run_counts(cost: float, warm_up: list[int]) -> None:
    class Fake(Clock):
        def __call__(self, run, step: int) -> float:
            run(step)
            return cost

    steps: list[int] = []
    samples = interleave({"a": steps.append}, Budget(1.0, least=3, most=3), Fake(torch.device("cpu")))
    assert steps == [*warm_up, 0, 1, 2]
    assert samples["a"].milliseconds == [cost] * 3


def test_spinning_threads_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    budget = Budget(1e-3, least=2, most=2, spins={"b": 0.5})
    interleave({"a": len, "b": len}, budget, _Instant(torch.device("cpu")))
    assert len(waited) == 4
    assert waited[0] == 0.5  # the warm-up of b was the last run
    assert {0.5} < set(waited)


class _Instant(Clock):
    def __call__(self, run, step: int) -> float:
        return 1.0


@pytest.mark.parametrize("least", [1, 2, 3, 7])
def test_the_least_runs_are_made_whatever_they_take(least: int) -> None:
    rounds, strides = schedule({"fast": 1.0, "slow": 1e6}, Budget(0.2, least, 50))
    assert len(range(0, rounds, strides["slow"])) >= least


@pytest.mark.speed
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


def test_a_noisy_latency_is_not_reported() -> None:
    nothing = {"p50": None, "p95": None, "p99": None, "max": None, "fps": None}
    assert summary.latency([1.0, 1.0, 2.0, 3.0, 3.0]) == {"status": "noisy", "spread": 1.0, **nothing}
    assert summary.latency([1.0] * 4) == {"status": "few", "spread": 0.0, **nothing}
    assert summary.latency([1.0] * 5)["p50"] == 1.0


def test_a_ratio_is_reported_only_when_it_is_known() -> None:
    steady = summary.paired_ratio({i: 20 + 0.1 * (i % 3) for i in range(30)}, dict.fromkeys(range(30), 10.0))
    assert steady is not None
    assert steady.status == "ok"
    assert steady.low <= 2.01 <= steady.high
    wild = summary.paired_ratio({i: 10.0 + 30 * (i % 2) for i in range(6)}, dict.fromkeys(range(6), 10.0))
    assert wild is not None
    assert wild.status == "noisy"
    two = summary.paired_ratio({0: 2.0, 1: 2.0}, {0: 1.0, 1: 1.0})
    assert two is not None
    assert two.status == "few"
    for few in (two, summary.unpaired_ratio([2.0, 2.0], [1.0] * 9), summary.unpaired_ratio([2.0] * 9, [1.0])):
        assert few.status == "few"
        assert all(math.isnan(number) for number in (few.value, few.low, few.high))


def test_only_rounds_of_both_are_compared() -> None:
    slow = Samples(stride=2, milliseconds=[10.0, 20.0, 30.0]).by_round()
    assert slow == {0: 10.0, 2: 20.0, 4: 30.0}
    ratio = summary.paired_ratio(slow, {0: 5.0, 2: 10.0, 3: 1.0, 4: 15.0})
    assert ratio is not None
    assert (ratio.value, ratio.pairs) == (2.0, 3)
    assert summary.paired_ratio(slow, {1: 1.0}) is None


def test_a_fit_finds_its_exponent() -> None:
    exponent, factor = summary.fit([1, 2, 4], [3, 12, 48], "power")
    assert exponent == pytest.approx(2)
    assert factor == pytest.approx(3)
    assert summary.fit([0, 1, 2], [5, 7, 9], "line") == pytest.approx((2, 5))
