"""Tokens, rates, queues, deadlines, and clients that leave."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from stylemap.serving.access import read_tokens
from stylemap.serving.service import Local
from stylemap.serving.settings import Settings
from stylemap.serving.store import Missing, PhotoStore
from tests.serving import running
from tests.serving.running import A, B, edit_body, form, sha

EDIT = form(edit_body(), a=A, b=B)
Started = Callable[..., tuple[httpx.Client, Local]]


@pytest.fixture
def start(model_file: str, tmp_path: Path) -> Iterator[Started]:
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            running.service(model_file, tmp_path / "photos", **settings)
        )


@contextlib.contextmanager
def held(service: Local) -> Iterator[threading.Event]:
    """The model is busy until the block ends; the event says that it has begun to be."""
    results, begun, go = service.engine.results, threading.Event(), threading.Event()

    def slow(batch: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return results(batch)

    service.engine.results = slow  # type: ignore[method-assign]
    try:
        yield begun
    finally:
        service.engine.results = results  # type: ignore[method-assign]
        go.set()


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_tokens(start: Started, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who\nann secret-a\nbob secret-b 0.001  # slow\n")
    http, _ = start(tokens=str(file), token_burst=2, token_rate=1)
    assert http.get("/v1/health").status_code == 200
    for wrong in ({}, {"authorization": "Bearer secret"}, {"authorization": "Basic secret-a"}):
        answer = http.post("/v1/edit", **EDIT, headers=wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert http.get("/metrics", headers=wrong).status_code == 401
    ann, bob = ({"authorization": f"Bearer secret-{who}"} for who in "ab")
    assert http.post("/v1/edit", **EDIT, headers=ann).status_code == 200
    # What ann uploaded is not there for bob.
    assert http.get(f"/v1/images/{sha(A)}", headers=bob).status_code == 404
    refused = http.get(f"/v1/images/{sha(A)}", headers=bob)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1000"
    assert http.get(f"/v1/images/{sha(A)}", headers=ann).status_code == 200
    metrics = http.get("/metrics", headers=ann).text
    assert 'stylemap_owner_requests_total{owner="bob"} 2.0' in metrics
    assert "secret" not in metrics


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no token"),
        ("ann\n", "line 1: expected NAME TOKEN"),
        ("ann a\nann b\n", "line 2: the name or the token is there already"),
        ("ann a\nbob a\n", "line 2: the name or the token is there already"),
        ("../ann a\n", "line 1: a name has letters"),
        ("ann a -1\n", "line 1: a name has letters, digits, - and _, a rate is positive"),
    ],
)
def test_bad_files_of_tokens(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)):
        read_tokens(file, 1)


def test_a_full_queue_is_told(start: Started) -> None:
    http, service = start(queue=1)
    http.post("/v1/edit", **EDIT)
    with ThreadPoolExecutor(2) as pool:
        with held(service) as begun:
            working = [pool.submit(http.post, "/v1/edit", json=edit_body(sha(A), sha(B))) for _ in range(2)]
            _until(lambda: begun.is_set() and service.admission.inside == 2)
            refused = http.post("/v1/edit", json=edit_body(sha(A), sha(B)))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert [one.result().status_code for one in working] == [200, 200]


def test_requests_of_one_token_at_the_same_time(start: Started) -> None:
    http, service = start(token_jobs=1)
    with ThreadPoolExecutor(1) as pool, held(service) as begun:
        pool.submit(http.post, "/v1/edit", **EDIT)
        assert begun.wait(10)
        refused = http.get("/v1/model")
        assert refused.status_code == 429
        assert "at most 1 requests of one token" in refused.json()["error"]


@pytest.mark.parametrize("how", [{"headers": {"x-deadline-ms": "50"}}, {"params": {"deadline_ms": 50}}])
def test_a_deadline_that_passes(start: Started, how: dict[str, Any]) -> None:
    http, service = start()
    http.post("/v1/edit", **EDIT)
    before = service.engine.rendered
    with ThreadPoolExecutor(1) as pool:
        with held(service) as begun:
            first = pool.submit(http.post, "/v1/edit", json=edit_body(sha(A), sha(B)))
            assert begun.wait(10)
            late = http.post("/v1/edit", json=edit_body(sha(A), sha(B)), **how)
        assert late.status_code == 504
        assert "deadline" in late.json()["error"]
        assert first.result().status_code == 200
    assert http.post("/v1/edit", json=edit_body(sha(A), sha(B))).status_code == 200
    assert service.engine.rendered == before + 2, "nothing was made for the one that was late"


def test_bad_deadlines(http: httpx.Client) -> None:
    answer = http.post("/v1/edit", json=edit_body(sha(A), sha(B)), headers={"x-deadline-ms": "soon"})
    assert answer.status_code == 400
    assert "x-deadline-ms" in answer.json()["error"]


def test_a_client_that_leaves(start: Started) -> None:
    http, service = start()
    http.post("/v1/edit", **EDIT)
    before = service.engine.rendered
    with ThreadPoolExecutor(1) as pool:
        with held(service) as begun:
            first = pool.submit(http.post, "/v1/edit", json=edit_body(sha(A), sha(B)))
            assert begun.wait(10)
            with pytest.raises(httpx.ReadTimeout):  # it waits, and hangs up
                http.post("/v1/edit", json=edit_body(sha(A), sha(B)), timeout=0.3)
            _until(lambda: service.admission.inside == 1)
        assert first.result().status_code == 200
    assert http.post("/v1/edit", json=edit_body(sha(A), sha(B))).status_code == 200
    assert service.engine.rendered == before + 2, "nothing was made for the one that left"
    assert 'stylemap_requests_total{endpoint="/v1/edit",status="499"} 1.0' in http.get("/metrics").text


def test_what_waits_is_taken_together(start: Started) -> None:
    """Five new photos, one encoding of four of them: those that waited while the model was busy."""
    http, service = start(batch=4, queue=10)
    sizes = []
    results = service.engine.results
    photos = [running.photo_file(seed=30 + i) for i in range(5)]

    def noted(batch: Any) -> Any:
        sizes.append(len(batch))
        return results(batch)

    alone = [http.post("/v1/encode", **form({"image": "a"}, a=photo)).content for photo in photos]
    service.engine._most = 0  # forgets all at the next turn
    http.post("/v1/encode", **form({"image": "a"}, a=A))
    service.engine._most = 100
    service.engine.results = noted  # type: ignore[method-assign]
    with ThreadPoolExecutor(5) as pool:
        with held(service) as begun:
            found = [pool.submit(http.post, "/v1/encode", **form({"image": "a"}, a=photos[0]))]
            assert begun.wait(10)
            found += [pool.submit(http.post, "/v1/encode", **form({"image": "a"}, a=p)) for p in photos[1:]]
            _until(lambda: len(service._waiting) == 4)
        assert [one.result().content for one in found] == alone
    assert sizes[-1] == 4


def test_the_store_keeps_to_its_size(tmp_path: Path) -> None:
    store = PhotoStore(tmp_path, 100)
    first, second = store.put("ann", b"a" * 40), store.put("ann", b"b" * 40)
    time.sleep(0.02)
    assert store.get("ann", first) == b"a" * 40, "used last: the other one goes"
    third = store.put("ann", b"c" * 40)
    assert {name for name in (first, second, third) if _there(store, name)} == {first, third}
    assert _there(PhotoStore(tmp_path, 100), third), "another process sees it"


def _there(store: PhotoStore, digest: str) -> bool:
    try:
        store.get("ann", digest)
    except Missing:
        return False
    return True


def test_settings_are_checked() -> None:
    for bad, words in (
        ({"replicas": -1}, "replicas"),
        ({"colour": 1}, "colour: Extra"),
        ({"queue": "x"}, "queue"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            Settings.of(bad)
        assert "\n" not in str(caught.value)


def _begun(client: httpx.Client, path: str, length: int) -> socket.socket:
    """A connection on which a body of that length has been announced, and two bytes sent."""
    url = client.base_url
    connection = socket.create_connection((url.host, url.port or 80), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
    return connection


def test_a_body_that_is_told_to_be_too_long_is_refused_before_it_comes(start: Started) -> None:
    client, _ = start()
    for path in ("/v1/edit", "/v1/images"):
        with _begun(client, path, 10**12) as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_while_it_sends_is_no_fault(
    start: Started, caplog: pytest.LogCaptureFixture
) -> None:
    client, _ = start()
    for path in ("/v1/edit", "/v1/images"):
        _begun(client, path, 1000).close()
        count = f'stylemap_requests_total{{endpoint="{path}",status="400"}} 1.0'
        _until(lambda: count in client.get("/metrics").text)  # noqa: B023 (called at once)
    assert not caplog.records
