"""Divergence is seen when it happens, and nothing is continued from what it left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylemap.train import TrainingError, checkpoints, train
from stylemap.train.watch import Watch
from tests.train import tiny_run


def fed(*values: float, name: str = "x_rec") -> Watch:
    watch = Watch()
    for value in values:
        assert watch.add({name: value}) is None
    return watch


@pytest.mark.parametrize(
    ("name", "value"), [("x_rec", float("nan")), ("adv", float("inf")), ("x_rec", 3e25), ("d", -1e9)]
)
def test_a_value_that_no_loss_has_is_named(name: str, value: float) -> None:
    problem = Watch().add({"w_rec": 0.1, name: value})
    assert problem is not None
    assert problem.startswith(f"loss {name} is ")


def test_pictures_do_not_stay_further_apart_than_pictures_can_be() -> None:
    watch = fed(*[0.2] * 40)
    for _ in range(3):
        assert watch.add({"x_rec": 8.0}) is None  # a spike that passes
    assert watch.add({"x_rec": 0.2}) is None
    problems = [watch.add({"x_rec": 8.0}) for _ in range(20)]
    assert any(problems)


def test_the_start_of_a_run_is_no_divergence() -> None:
    fed(*[30 / (1 + i) for i in range(60)])
    fed(*[1e4 / (1 + i) for i in range(60)], name="r1")


def test_a_rise_is_seen_and_a_drift_is_none() -> None:
    assert not fed(*[0.1] * 50).rising
    assert fed(*[0.1] * 50, *[0.4] * 20).rising
    assert not fed(*[0.1 * 1.001**i for i in range(1500)]).rising
    assert not fed(*[0.1] * 50, *[0.4] * 20, name="adv").rising


def test_it_is_continued() -> None:
    watch = fed(*[0.1] * 50)
    again = Watch(watch.state_dict())
    for _ in range(20):
        watch.add({"x_rec": 0.4})
        again.add({"x_rec": 0.4})
    assert again.rising
    assert again.state_dict() == watch.state_dict()


def test_a_learning_rate_of_0_3_stops_with_the_loss_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    """No mock: a healthy start, then a rate that blows the weights up."""
    train(tiny_run.config(iterations=4), tmp_path)
    config = tiny_run.config(learning_rate=30.0, iterations=200, checkpoint_every=200)
    with pytest.raises(TrainingError, match=r"loss \w+ is .* at iteration \d+: .*00000004\.pt"):
        train(config, tmp_path, resume=True)


def test_the_checkpoint_from_before_a_rise_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "rising", property(lambda self: self._levels.get("x_rec", [0] * 3)[2] > 4))
    train(tiny_run.config(iterations=12, keep=1), tmp_path)
    names = [path.name for path in checkpoints.found(tmp_path / "checkpoints")]
    assert names == ["00000004.pt", "00000012.pt"]


def test_absurd_weights_are_not_continued(tmp_path: Path) -> None:
    train(tiny_run.config(iterations=4), tmp_path)
    path = tmp_path / "checkpoints" / "00000004.pt"
    state = torch.load(path, weights_only=False)
    state["generator"]["decoder.to_rgb.conv.weight"].mul_(1e9)
    torch.save(state, path)
    with pytest.raises(checkpoints.CheckpointError, match=r"00000004\.pt: its weights are absurd.*0002\.pt"):
        train(tiny_run.config(), tmp_path, resume=True)
