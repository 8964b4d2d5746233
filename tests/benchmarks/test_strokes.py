"""The recorded strokes, and the goals that are judged on them."""

from __future__ import annotations

import subprocess
import sys

from stylemap.benchmarks import ratios, strokes, tables


def test_scripts_follow_from_the_seed_alone() -> None:
    # A change of the script makes results incomparable: this digest then has to change with it.
    assert strokes.digest(list(strokes.SCENARIOS)) == strokes.digest(list(strokes.SCENARIOS))
    code = "from stylemap.benchmarks import strokes as s; print(s.digest(list(s.SCENARIOS)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == strokes.digest(list(strokes.SCENARIOS))
    assert strokes.digest(["paint_64"], seed=8) != strokes.digest(["paint_64"])


def test_brushes_have_their_size_and_stay_inside() -> None:
    for scenario, brush in (("paint_64", 64), ("paint_128", 128)):
        for step in strokes.script(scenario):
            assert [int(part.mask(256).sum()) for part in step.parts] == [brush * brush]
    assert {len(step.parts) for step in strokes.script("paint_128_many")} == {2, 3}
    assert strokes.Part(1, ((0, 0, 64),), (8, -4)).pixels(1024) == (32, -16)
    assert strokes.Part(1, ((64, 0, 64),)).mask(128)[0].nonzero().flatten().tolist() == [*range(32, 64)]


def _side_rows(slow: list[float], fast: list[float]) -> list[dict]:
    common = {"model": "full", "scenario": "decode", "stride": 1}
    return [
        {**common, "backend": "published", "precision": "fp32", "milliseconds": slow},
        {**common, "backend": "engine", "precision": "fp32", "milliseconds": fast},
    ]


def test_goals_are_judged() -> None:
    met = ratios.ratio_rows(_side_rows([70.0] * 5, [10.0] * 5))
    assert met[0]["name"] == "decode fp32"
    assert (met[0]["value"], met[0]["met"], met[0]["paired"]) == (7.0, True, True)
    missed = ratios.ratio_rows(_side_rows([50.0] * 5, [10.0] * 5))
    assert missed[0]["met"] is False
    noisy = ratios.ratio_rows(_side_rows([10.0, 90.0, 20.0, 80.0], [10.0] * 4))
    assert noisy[0]["status"] == "noisy"
    assert "value" not in noisy[0]
    assert "met" not in noisy[0]
    # However wide, an interval on one side of the target tells; the same ratio as no goal does not.
    goal, rival = ratios.ratio_rows(_side_rows([80.0, 210.0, 90.0, 300.0, 85.0], [10.0] * 5))
    assert (goal["met"], goal["low"], goal["high"], goal["status"]) == (True, 8.0, 30.0, "ok")
    assert rival["status"] == "noisy"
    assert tables.times(goal) == "at least 8×"
    assert tables.times(met[0]) == "7×"
    (goal, _) = ratios.ratio_rows(_side_rows([10.0, 55.0, 20.0, 50.0, 30.0], [10.0] * 5))
    assert goal["met"] is False
    assert tables.times(goal) == "at most 5.5×"


def test_no_ratio_from_fewer_than_three_samples_a_side() -> None:
    """One fast sample of a slow side has no interval, however clear the goal seems."""
    for slow in ([900.0], [900.0, 901.0]):
        goal, rival = ratios.ratio_rows(_side_rows(slow, [10.0] * 5))
        assert (goal["status"], rival["status"], goal["pairs"]) == ("few", "few", len(slow))
        assert not {"value", "low", "high", "met"} & (goal.keys() | rival.keys())
        assert tables.times(goal) == "too few samples"
    assert ratios.ratio_rows(_side_rows([900.0, 901.0, 902.0], [10.0] * 5))[0]["met"] is True


def test_goals_compare_like_with_like() -> None:
    """A stylemap with a stylemap, a frame with a frame, a request with a request."""

    def made(scenario: str) -> tuple[str, int]:
        found = strokes.SCENARIOS[scenario]
        return {"encode": "stylemap", "request": "request"}.get(found.kind, "frame"), found.images

    for goal in ratios.GOALS:
        assert made(goal.slow[2]) == made(goal.fast[2]), goal.name
