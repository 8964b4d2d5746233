"""The scheduler: newest state, turns, jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from stylemap.editor.clients import Client, Unavailable
from stylemap.editor.limits import Limits
from stylemap.editor.protocol import Ack, CameraPicture
from stylemap.editor.scene import CAMERA, Scene
from stylemap.editor.scheduler import Scheduler


class Sink:
    """A connection that goes nowhere."""

    def send_frame(self, data: bytes) -> None: ...

    def send_notice(self, text: str) -> None: ...

    def send_engine(self, away: str) -> None: ...

    def close(self, reason: str) -> None: ...


class Bench:
    """A scheduler whose frames take a while and are written down."""

    def __init__(self, seconds: float = 0.005, threads: int = 1, shared: bool = False) -> None:
        self.log: list[tuple[str, int]] = []
        self.seconds = seconds
        self.gate = threading.Event()
        self.gate.set()
        self.scheduler = Scheduler(self._frame, threads, shared=shared)
        self.scheduler.start()

    def client(self, limits: Limits = Limits()) -> Client:  # noqa: B008
        client = Client(8, limits)
        self.scheduler.add(client)
        client.connect(Sink())
        client.set_scene(Scene(original="g0"), 0, True)
        return client

    def _frame(self, client: Client) -> None:
        self.gate.wait()
        turn, connection, snapshot = client.begin_frame(), client.connection, client.snapshot()
        time.sleep(self.seconds)
        numbers: list[int] = []
        assert connection is not None
        client.send(turn, connection, lambda number: numbers.append(number) or b"")  # type: ignore[func-returns-value]
        self.log.append((client.id, snapshot.seq))
        client.apply(Ack(*numbers))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.gate.set()
    bench.scheduler.close()


def _until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_outdated_states_are_never_rendered(bench: Bench) -> None:
    client = bench.client()
    bench.gate.clear()
    bench.scheduler.wake()
    for seq in range(1, 501):
        client.set_scene(Scene(original="g0"), seq, True)
        bench.scheduler.wake()
    bench.gate.set()
    _until(lambda: bench.log and bench.log[-1][1] == 500)
    assert len(bench.log) <= 2
    time.sleep(0.05)
    assert len(bench.log) <= 2  # and nothing follows


def test_no_more_frames_than_the_browser_answers(bench: Bench) -> None:
    client = bench.client(Limits(frames_ahead=2))
    client.apply = lambda message: None  # type: ignore[method-assign]
    for seq in range(1, 20):
        client.set_scene(Scene(original="g0"), seq, True)
        bench.scheduler.wake()
        time.sleep(0.01)
    assert len(bench.log) == 2


def test_sessions_take_turns(bench: Bench) -> None:
    busy, calm = bench.client(), bench.client()

    def strip() -> Generator[None, None, int]:
        for _ in range(40):
            time.sleep(0.005)
            bench.log.append((busy.id, -1))
            yield
        return 7

    job = bench.scheduler.submit(busy, strip())
    _until(lambda: (busy.id, -1) in bench.log)
    calm.set_scene(Scene(original="g0"), 3, True)
    before = len(bench.log)
    bench.scheduler.wake()
    _until(lambda: (calm.id, 3) in bench.log)
    assert bench.log.index((calm.id, 3)) - before <= 3
    assert job.result(10) == 7


def test_the_brush_keeps_moving_during_an_animation(bench: Bench) -> None:
    client = bench.client()

    def strip() -> Generator[None, None, None]:
        for step in range(20):
            client.set_scene(Scene(original="g0"), step, True)
            time.sleep(0.002)
            yield

    bench.scheduler.submit(client, strip()).result(10)
    assert len(bench.log) >= 10


def test_several_threads_work_at_several_sessions_and_at_each_once() -> None:
    bench = Bench(threads=4, shared=True)
    clients = [bench.client() for _ in range(2)]
    meeting, now, most = (
        threading.Barrier(2, timeout=10),
        dict.fromkeys(clients, 0),
        dict.fromkeys(clients, 0),
    )

    def work(client: Client) -> Generator[None, None, None]:
        for _ in range(5):
            now[client] += 1
            most[client] = max(most[client], now[client])
            meeting.wait()  # both sessions are here at the same time
            now[client] -= 1
            yield

    jobs = [bench.scheduler.submit(client, work(client)) for client in clients for _ in range(2)]
    try:
        for job in jobs:
            job.result(10)
    finally:
        meeting.abort()
        bench.scheduler.close()
    assert set(most.values()) == {1}


def test_what_cleans_up_after_a_session_waits_for_its_work() -> None:
    bench = Bench(threads=2, shared=True)
    client, begun, go, cleaned = bench.client(), threading.Event(), threading.Event(), threading.Event()

    def long() -> Generator[None, None, None]:
        begun.set()
        assert go.wait(10)
        return
        yield

    bench.scheduler.submit(client, long())
    try:
        assert begun.wait(10)
        bench.scheduler.remove(client, cleaned.set)
        assert not cleaned.wait(0.1)
        go.set()
        assert cleaned.wait(10)
    finally:
        go.set()
        bench.scheduler.close()


def test_jobs_are_limited_and_their_errors_come_back(bench: Bench) -> None:
    client = bench.client(Limits(jobs=2))

    def failing() -> Generator[None, None, None]:
        raise ValueError("no")
        yield

    bench.gate.clear()
    client.set_scene(Scene(original="g0"), 1, True)
    bench.scheduler.wake()
    jobs = [bench.scheduler.submit(client, failing()) for _ in range(2)]
    with pytest.raises(Unavailable, match="too many"):
        bench.scheduler.submit(client, failing())
    bench.gate.set()
    for job in jobs:
        with pytest.raises(ValueError, match="no"):
            job.result(10)


def test_a_removed_session_leaves_nothing_behind(bench: Bench) -> None:
    client, cleaned = bench.client(), threading.Event()
    bench.gate.clear()
    client.set_scene(Scene(original="g0"), 1, True)
    bench.scheduler.wake()

    def endless() -> Generator[None, None, None]:
        while True:
            yield

    job = bench.scheduler.submit(client, endless())
    bench.scheduler.remove(client, cleaned.set)
    bench.gate.set()
    assert cleaned.wait(10)
    assert job.cancelled()
    with pytest.raises(Unavailable):
        bench.scheduler.submit(client, endless())


def test_the_thread_outlives_an_error() -> None:
    calls: list[int] = []

    def frame(client: Client) -> None:
        client.snapshot()
        calls.append(1)
        raise RuntimeError("one frame failed")

    scheduler = Scheduler(frame)
    scheduler.start()
    client = Client(8, Limits())
    scheduler.add(client)
    client.connect(Sink())
    for seq in (1, 2):
        client.set_scene(Scene(original="g0"), seq, True)
        scheduler.wake()
        _until(lambda seq=seq: len(calls) >= seq)
    scheduler.close()


def test_cameras_share_the_model_and_their_old_pictures_are_dropped(bench: Bench) -> None:
    clients = [bench.client() for _ in range(3)]
    for client in clients:
        client.set_scene(Scene(original=CAMERA), 0, True)
    _until(lambda: not any(client.wants_frame() for client in clients))
    bench.log.clear()
    for seq in range(1, 301):  # far faster than frames are made
        for client in clients:
            client.apply(CameraPicture(seq, b"picture"))
        bench.scheduler.wake()
        time.sleep(0.001)
    _until(lambda: {client.id for client in clients} == {id for id, seq in bench.log if seq == 300})
    counts = [sum(id == client.id for id, _ in bench.log) for client in clients]
    assert max(counts) - min(counts) <= 1
    assert max(counts) < 300
    for client, count in zip(clients, counts):
        shown = [seq for id, seq in bench.log if id == client.id]
        assert shown == sorted(shown)
        assert count + client.dropped == 300


def test_what_frames_leave_for_after_their_turn_runs_at_the_same_time() -> None:
    together = threading.Barrier(2)
    sent: list[int] = []

    def frame(client: Client) -> Callable[[], None]:
        turn, connection, snapshot = client.begin_frame(), client.connection, client.snapshot()
        assert connection is not None

        def rest() -> None:
            if snapshot.seq <= 2:
                together.wait(10)  # for the other one
            if snapshot.seq == 1:
                _until(lambda: 2 in sent)  # the newer one is faster
            client.send(turn, connection, lambda number: sent.append(snapshot.seq) or b"")  # type: ignore[func-returns-value]
            client.apply(Ack(client._sent))

        return rest

    scheduler = Scheduler(frame, 2)
    scheduler.start()
    client = Client(8, Limits())
    scheduler.add(client)
    client.connect(Sink())
    for seq in (1, 2):
        client.set_scene(Scene(original="g0"), seq, True)
        _until(client.wants_frame)
        scheduler.wake()
        _until(lambda: not client.wants_frame())
    _until(lambda: client.dropped == 1)
    assert sent == [2]  # an older frame never follows a newer one
    client.set_scene(Scene(original="g0"), 3, True)
    scheduler.wake()
    _until(lambda: sent == [2, 3])
    scheduler.close()


def test_a_camera_has_no_frame_before_its_first_picture(bench: Bench) -> None:
    client = bench.client()
    bench.scheduler.wake()
    _until(lambda: bench.log)
    bench.log.clear()
    client.set_scene(Scene(original=CAMERA), 1, True)
    assert not client.wants_frame()
    client.apply(CameraPicture(2, b"picture"))
    bench.scheduler.wake()
    _until(lambda: bench.log)
    assert bench.log[0] == (client.id, 2)
