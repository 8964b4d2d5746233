"""The service on Ray Serve: two replicas on this machine, one of which is killed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from stylemap import serving
from stylemap.benchmarks.bulk import processes_of
from stylemap.cli.app import main
from tests.editor.serving import photo_file
from tests.helpers import needs
from tests.serving import running
from tests.serving.running import A, B, edit_body, form, sha

ROOT = Path(__file__).parents[2]
REPLICA = b"ray::ServeReplica:stylemap:engine"


@pytest.fixture(scope="module")
def cluster(model_file: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of two replicas, for the whole module: they take half a minute to start."""
    ray = needs.package("ray")
    serve = needs.package("ray.serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 << 20,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": environment},
    )
    try:
        folder = tmp_path_factory.mktemp("uploads")
        serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        arguments = {"model": model_file, "photos": str(folder), "replicas": 2, "threads": 1, "queue": 4}
        serve.run(serving.app({**arguments, "token_rate": 1e6, "token_burst": 1e6}), name="stylemap")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
def expected(http: httpx.Client) -> list[bytes]:
    """What a service in one process answers to `_bodies`, after it got the photos."""
    return [http.post("/v1/edit", **each).content for each in _bodies()]


def _bodies() -> list[dict[str, Any]]:
    """Edits of several photos, so that both replicas have some."""
    photos = [photo_file(seed=50 + i) for i in range(6)]
    return [form(edit_body(mask=f"ellipse:0.5,0.5,0.{2 + i},0.3"), a=p, b=B) for i, p in enumerate(photos)]


@pytest.mark.slow
def test_the_answers_are_those_of_one_process(cluster: httpx.Client, expected: list[bytes]) -> None:
    answers = [cluster.post("/v1/edit", **each) for each in _bodies()]
    assert [answer.content for answer in answers] == expected
    time.sleep(1)  # until Serve's router knows where the photos are
    again = [cluster.post("/v1/edit", **each) for each in _bodies()]
    assert [answer.headers["x-photos"] for answer in again] == ["known=2, encoded=0"] * len(again)


@pytest.mark.slow
def test_a_killed_replica_loses_no_request(cluster: httpx.Client, expected: list[bytes]) -> None:
    bodies = _bodies()
    stop = threading.Event()
    before = _answered(cluster)

    def load(first: int) -> list[tuple[int, int, bytes]]:
        found, turn = [], first
        while not stop.is_set():
            answer = cluster.post("/v1/edit", **bodies[turn % len(bodies)])
            found.append((turn % len(bodies), answer.status_code, answer.content))
            turn += 1
        return found

    killed = processes_of(REPLICA)
    assert len(killed) == 2
    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load, i) for i in range(3)]
        try:
            time.sleep(2)
            os.kill(killed[0], signal.SIGKILL)
            end = time.monotonic() + 100  # a new process imports PyTorch, on cores that are busy
            while len(set(processes_of(REPLICA)) - {killed[0]}) < 2:
                assert time.monotonic() < end, "no other replica was started"
                time.sleep(0.2)
            time.sleep(1)
        finally:
            stop.set()
    answers = [one for each in loads for one in each.result()]
    accepted = [(which, content) for which, status, content in answers if status == 200]
    assert {status for _, status, _ in answers} <= {200, 429}
    assert len(accepted) > 10
    assert all(content == expected[which] for which, content in accepted)
    assert _answered(cluster) - before == len(accepted), "each was answered once"


@pytest.mark.slow
def test_a_full_queue_is_told(cluster: httpx.Client) -> None:
    for data in (A, B):
        assert cluster.post("/v1/images", content=data).status_code == 201
    body = {"a": sha(A), "b": sha(B), "weights": [i / 48 for i in range(48)]}
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: cluster.post("/v1/interpolate", json=body), range(24)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} == {429}
    waits = sorted(int(answer.headers["retry-after"]) for answer in refused)
    assert 1 <= waits[0] <= waits[-1] <= 60


@pytest.mark.slow
def test_bad_input_and_deadlines(cluster: httpx.Client) -> None:
    answer = cluster.post("/v1/edit", **form(edit_body(mask="ellipse:1,2"), a=A, b=B))
    assert answer.status_code == 400
    assert "ellipse" in answer.json()["error"]
    assert cluster.post("/v1/edit", json=edit_body("0" * 64, sha(B))).status_code == 404
    body = {"a": sha(A), "b": sha(B), "weights": [i / 48 for i in range(48)]}
    assert cluster.post("/v1/interpolate", json=body, params={"deadline_ms": 1}).status_code == 504


def _answered(client: httpx.Client) -> int:
    lines = client.get("/metrics").text.splitlines()
    series = 'stylemap_requests_total{endpoint="/v1/edit",status="200"} '
    return sum(int(float(line.removeprefix(series))) for line in lines if line.startswith(series))


def test_without_ray(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model_file: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)  # its import fails
    assert main(["serve", "--model", model_file]) == 1
    error = capsys.readouterr().err
    assert "stylemap serve needs Ray Serve: " in error
    assert "[ray]" in error
    assert error.endswith("; or --replicas 0, to serve in this process without it\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--host", "0.0.0.0"], "name the users with --tokens FILE"),
        (["--port", "70000"], "--port must be between 0 and 65535"),
        (["--queue", "-1"], "queue: Input should be greater"),
        (["--model", "/nowhere.pt"], "/nowhere.pt"),
    ],
)
def test_wrong_flags(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str], model_file: str
) -> None:
    assert main(["serve", "--replicas", "0", "--port", "0", "--model", model_file, *flags]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_command_in_one_process(model_file: str) -> None:
    words = ["serve", "--replicas", "0", "--port", "0", "--model", model_file]
    process = subprocess.Popen(
        [sys.executable, "-m", "stylemap", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # What a shell starts in the background ignores it, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2].removesuffix("/openapi.json")
        with httpx.Client(base_url=address, limits=httpx.Limits(keepalive_expiry=60)) as client:
            ports = [_port(client.get("/v1/health"))]
            answer = client.post("/v1/edit", **form(edit_body(), a=A, b=B))
            assert (running.pixels(answer) == running.session_edit(A, B)).all()
            # Clients keep connections for five seconds and longer: the server is not the first to close one.
            time.sleep(5.5)
            ports.append(_port(client.get("/v1/health")))
        assert ports[0] == ports[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130, "as other interrupted commands"


def _port(answer: httpx.Response) -> int:
    """Of the client's end of the connection, which is still open."""
    port: int = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    return port


@pytest.mark.slow
def test_the_command_on_ray(model_file: str) -> None:
    """Its process speaks HTTP itself; a signal ends it with all that it started."""
    needs.package("ray.serve")
    words = ["serve", "--replicas", "1", "--ray", "local", "--port", "0", "--model", model_file]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stylemap", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2].removesuffix("/openapi.json")
        answer = httpx.post(f"{address}/v1/edit", **form(edit_body(), a=A, b=B), timeout=30)
        assert (running.pixels(answer) == running.session_edit(A, B)).all()
        replicas = processes_of(REPLICA, process.pid)
        assert replicas
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    assert not set(replicas) & set(processes_of(REPLICA, 1)), "no replica is left"
