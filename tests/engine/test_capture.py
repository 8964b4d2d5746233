"""Captured graphs, with recordings in place of CUDA graphs."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from stylemap.engine.gpu.capture import CapturedGraphs, Lane
from tests.helpers.recorder import GraphRecorder

CPU = torch.device("cpu")


def graphs(recorder: GraphRecorder | None = None, **limits: int) -> CapturedGraphs:
    return CapturedGraphs(Lane(CPU), recorder, **limits)


def plus_one(x: Tensor) -> list[Tensor]:
    return [x + 1]


def test_a_graph_is_replayed_on_new_inputs() -> None:
    recorder = GraphRecorder()
    used = graphs(recorder)
    calls = []

    def function(x: Tensor, y: Tensor) -> list[Tensor]:
        calls.append(1)
        z = (x.t() @ y).relu_()
        return [z[1:] * 2, z.sum(0)]

    for seed in range(4):
        torch.manual_seed(seed)
        x, y = torch.randn(3, 4), torch.randn(3, 5)
        actual = used.run("f", function, x, y)
        for a, b in zip(actual, function(x, y), strict=True):
            torch.testing.assert_close(a, b)
    assert (recorder.captures, recorder.replays) == (1, 3)
    assert len(calls) == 4 + 2, "the graph itself ran Python for its warm-up and its capture alone"
    assert used.captured == 1


def test_results_outlive_the_next_run() -> None:
    used = graphs(GraphRecorder())
    results = [used.run("f", plus_one, torch.full((2,), float(i)))[0] for i in range(4)]
    assert [int(result[0]) for result in results] == [1, 2, 3, 4]


def test_inputs_are_not_changed() -> None:
    used = graphs(GraphRecorder())
    x = torch.zeros(3)
    for _ in range(3):
        used.run("f", lambda x: [x.add_(1)], x)
    assert x.sum() == 0


def test_the_least_recently_used_goes_first() -> None:
    recorder = GraphRecorder()
    used = graphs(recorder, limit=2)
    for key in ("a", "b", "a", "c", "a", "b"):
        used.run(key, plus_one, torch.zeros(1))
    assert recorder.captures == 4, "b was dropped for c"
    assert len(used) == 2


def test_memory_is_limited() -> None:
    used = graphs(GraphRecorder(), limit_bytes=200)
    for key in range(6):
        used.run(key, plus_one, torch.zeros(10))
    assert (len(used), used.bytes) == (3, 240), "what the last one returned is known too late"
    used.run("large", plus_one, torch.zeros(1000))
    assert len(used) == 1
    assert used.bytes == 8000
    used.clear()
    assert used.bytes == 0


def test_what_cannot_be_captured_runs_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    used = graphs(GraphRecorder(failing=True))
    for i in range(3):
        assert int(used.run(("f", 1), plus_one, torch.full((1,), float(i)))[0]) == i + 1
    assert caplog.messages == [
        "('f', 1) runs without a CUDA graph: operation not permitted when stream is capturing"
    ]
    assert used.captured == 0


@pytest.mark.parametrize("function", [lambda x: [x[x > 0]], lambda x: [x * float(x.sum())]])
def test_the_recorder_refuses_what_waits(function: object, caplog: pytest.LogCaptureFixture) -> None:
    used = graphs(GraphRecorder())
    used.run("f", function, torch.ones(3))  # type: ignore[arg-type]
    assert "waits for the device" in caplog.text
    assert used.captured == 0


def test_errors_are_the_callers_and_nothing_stays_behind() -> None:
    used = graphs(GraphRecorder())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        used.run("f", lambda x, y: [x @ y], torch.ones(2, 3), torch.ones(2, 3))
    assert int(used.run("g", plus_one, torch.zeros(1))[0]) == 1


def test_without_a_recorder_nothing_is_captured() -> None:
    used = graphs()
    for i in range(3):
        assert int(used.run("f", plus_one, torch.full((1,), float(i)))[0]) == i + 1
    assert used.captured == 0


def test_threads_take_turns() -> None:
    used = graphs(GraphRecorder())
    wrong: list[int] = []

    def work(number: int) -> None:
        for i in range(50):
            value = 100.0 * number + i
            if float(used.run("f", plus_one, torch.full((64,), value))[0].mean()) != value + 1:
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
