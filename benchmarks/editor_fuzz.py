"""Messages and requests that nobody would send: does the editor answer each, and lose no session?

    python -m stylemap.benchmarks.editor_fuzz [--messages 80000] [--requests 20000] [--seed 0] [--output FILE]

Messages go over WebSockets: valid ones, valid ones with bytes changed, cut or added, and noise. Requests are
made by schemathesis from the server's own OpenAPI document, valid and not. The server, of a small untrained
model, runs in this process. A witness, a session with a painted edit, is looked at after every few hundred:
its picture must stay what it was. A session that sent a bad message is disconnected with a reason, and must
be there when its browser comes back. Exit status 1 where an answer was 500 or more, or a session was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stylemap.benchmarks import machine, results
from stylemap.config import Config
from stylemap.editor import protocol, server
from stylemap.editor.app import create_app
from stylemap.editor.limits import Limits
from stylemap.editor.studio import Studio
from stylemap.model.recipe import recipe_model
from stylemap.optional import require

_CONFIG = Config(
    size=32,
    latent_channel_size=8,
    latent_spatial_size=8,
    mapping_layer_num=2,
    channel_table={4: 8, 8: 16, 16: 12, 32: 8},
)
_WAIT = 0.01  # seconds for an answer to a bad message: what is sent after it is lost
_EVERY = 400  # messages or requests, after which the witness is looked at
_SCENE = {
    "original": "g0",
    "references": [{"mask": 1, "image": "g1"}],
    "sliders": {"amplify": {"strength": 0.5}},
}


@contextlib.contextmanager
def _running(studio: Studio) -> Iterator[str]:
    listener = server.listen("127.0.0.1", 0)
    running = server.make_server(studio, ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not running.started:
            time.sleep(0.01)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


class Witness:
    """A session with an edit, which nothing that others do may change."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._base = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
        http.put(f"{self._base}/scene", json=_SCENE).raise_for_status()
        stroke = {"mask": 1, "points": [[8, 8], [24, 20]], "radius": 4}
        http.post(f"{self._base}/strokes", json=stroke).raise_for_status()
        self._picture = self._look()
        self.looks = 0

    def check(self) -> bool:
        """Whether the session is there and its picture is what it was."""
        self.looks += 1
        return self._look() == self._picture

    def _look(self) -> str:
        answer = self._http.get(f"{self._base}/result")
        return hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else ""


class Messages:
    """What a WebSocket of the editor may be told, and what it may not."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.seq = 0

    def next(self) -> tuple[str | bytes, bool]:
        """A message, and whether it is valid: a third is, a third nearly so, a third is noise."""
        draw, valid = self._random.random(), self._valid()
        if draw < 0.34:
            return valid, True
        return (self._bent(valid) if draw < 0.67 else self._noise()), False

    def _valid(self) -> str | bytes:
        pick, self.seq = self._random, self.seq + 1
        kind = pick.randrange(5)
        if kind == 0:
            return json.dumps(
                {"type": "scene", "seq": self.seq, "final": pick.random() < 0.5, "scene": self._scene()}
            )
        if kind == 1:
            pixels = torch.randint(0, 256, (32, 32), dtype=torch.uint8).numpy() * (pick.random() < 0.5)
            return protocol.mask_update(pick.randrange(4), self.seq, pixels)
        if kind == 2:
            return protocol.ack(0)
        if kind == 3:
            count = pick.choice([pick.randrange(1, 60), 3 * _CONFIG.size**2])
            return protocol.camera_picture(self.seq, pick.randbytes(count), pixels=pick.random() < 0.5)
        points = [(pick.uniform(-40, 80), pick.uniform(-40, 80)) for _ in range(pick.randrange(1, 9))]
        return protocol.stroke(
            pick.randrange(4),
            self.seq,
            points,
            pick.uniform(0.5, 16),
            pick.random(),
            erase=pick.random() < 0.3,
        )

    def _scene(self) -> dict[str, Any]:
        pick = self._random
        references = [
            {
                "mask": mask,
                "image": f"g{pick.randrange(30)}",
                "opacity": pick.random(),
                "on": pick.random() < 0.8,
            }
            for mask in range(1, pick.randrange(1, 5))
        ]
        original = pick.choice(["g0", "g3", "camera", None])
        sliders = {"amplify": {"strength": pick.uniform(-2, 2), "mask": pick.choice([None, 1, 9])}}
        return {"original": original, "references": references, "weight": pick.random(), "sliders": sliders}

    def _bent(self, message: str | bytes) -> str | bytes:
        """With some of its bytes changed, cut off or added."""
        pick = self._random
        data = bytearray(message.encode() if isinstance(message, str) else message)
        for _ in range(pick.randrange(1, 4)):
            at = pick.randrange(len(data) + 1)
            change = pick.randrange(3)
            if change == 0 and at < len(data):
                data[at] = pick.randrange(256)
            elif change == 1:
                del data[at : at + pick.randrange(1, 6)]
            else:
                data[at:at] = pick.randbytes(pick.randrange(1, 6))
        return data.decode("utf-8", "replace") if isinstance(message, str) else bytes(data)

    def _noise(self) -> str | bytes:
        pick = self._random
        if pick.random() < 0.5:
            return pick.randbytes(pick.randrange(0, 90))
        return "".join(chr(pick.randrange(32, 0x500)) for _ in range(pick.randrange(0, 60)))


class Browser:
    """A session that says these things, and comes back each time that it is shown out."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._session = ""
        self.sent = self.returns = self.lost = 0
        self.reasons: Counter[str] = Counter()
        self._socket = self._open()

    def say(self, message: str | bytes, valid: bool) -> None:
        """Send it. What a bad one leads to is waited for; frames are taken and answered now and then."""
        try:
            self._socket.send(message)
        except ConnectionClosed:
            self._again()
            self._socket.send(message)
        self.sent += 1
        if not valid or self.sent % 4 == 0:
            self._read(0 if valid else _WAIT)

    def _read(self, wait: float) -> None:
        try:
            while True:
                message = self._socket.recv(wait)
                if isinstance(message, bytes):
                    self._socket.send(protocol.ack(protocol.parse_frame(message)[0]))
        except TimeoutError:
            return
        except ConnectionClosed:
            self._again()

    def _again(self) -> None:
        closed = self._socket.protocol.close_rcvd
        if closed is None or closed.code != 1008:
            self.reasons["without a reason"] += 1
        else:
            self.reasons["with a reason"] += 1
        self._socket = self._open()

    def _open(self) -> ClientConnection:
        # Entered by hand: it is left when the server shows it out.
        address = f"ws://{self._host}/socket?session={self._session}&pixels={self.returns % 2}"
        socket: ClientConnection = connect(address, max_size=None).__enter__()
        hello = json.loads(socket.recv(30))
        if self._session:
            self.returns += 1
            self.lost += not hello["resumed"]
        self._session = hello["session"]
        return socket


def fuzz_messages(host: str, count: int, seed: int, witness: Witness) -> dict[str, Any]:
    """Say so many things over WebSockets."""
    messages, browser, changed = Messages(seed), Browser(host), 0
    for number in range(1, count + 1):
        browser.say(*messages.next())
        if number % _EVERY == 0:
            changed += not witness.check()
    return {
        "messages": browser.sent,
        "shown_out": dict(browser.reasons),
        "came_back": browser.returns,
        "lost_sessions": browser.lost + changed,
    }


def fuzz_requests(http: httpx.Client, studio: Studio, count: int, witness: Witness) -> dict[str, Any]:
    """Make so many requests, the same number of each operation."""
    schemathesis = require("schemathesis", "making requests", extra="dev")
    hypothesis = require("hypothesis", "making requests", extra="dev")
    schema = schemathesis.openapi.from_dict(create_app(studio).openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    each, statuses, failures, changed = -(-count // len(operations)), Counter[int](), [], 0
    session = http.post("/api/sessions").json()["session"]
    for operation in operations:
        settings = hypothesis.settings(
            max_examples=each, deadline=None, database=None, derandomize=True,
            phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip

        @settings
        @hypothesis.given(case=schema[operation.path][operation.method.upper()].as_strategy())
        def ask(case: Any) -> None:
            nonlocal changed
            if case.operation.method.upper() != "DELETE" and "session" in case.path_parameters:
                case.path_parameters["session"] = session
            answer = case.call(base_url=str(http.base_url))
            statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                failures.append(
                    f"{case.operation.method.upper()} {case.operation.path}: {answer.status_code}"
                )
            if sum(statuses.values()) % _EVERY == 0:
                changed += not witness.check()

        ask()
    changed += http.get(f"/api/sessions/{session}/scene").status_code != 200
    return {
        "requests": sum(statuses.values()),
        "operations": len(operations),
        "statuses": {str(status): statuses[status] for status in sorted(statuses)},
        "failures": failures[:20],
        "lost_sessions": changed,
    }


def run(messages: int, requests: int, seed: int) -> dict[str, Any]:
    """The whole run, as JSON holds it."""
    torch.manual_seed(seed)
    generous = dataclasses.replace(
        Limits(),
        request_rate=1e6,
        session_rate=1e6,
        upload_rate=1e6,
        message_rate=1e6,
        paint_rate=1e12,
        sessions=512,
    )
    studio = server.open_studio(recipe_model(_CONFIG), "small", limits=generous)
    start = time.perf_counter()
    with _running(studio) as host, httpx.Client(base_url=f"http://{host}", timeout=120) as http:
        witness = Witness(http)
        told = fuzz_messages(host, messages, seed, witness)
        asked = fuzz_requests(http, studio, requests, witness)
        intact = witness.check()
    return {
        "what": "web editor: messages and requests that nobody would send",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(torch.device("cpu")),
        "settings": {"seed": seed},
        "seconds": round(time.perf_counter() - start),
        "websocket": told,
        "http": asked,
        "witness": {"looked_at": witness.looks, "intact": intact},
        "passed": intact and not (told["lost_sessions"] or asked["lost_sessions"] or asked["failures"]),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=80_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args(argv)
    found = run(args.messages, args.requests, args.seed)
    print(json.dumps(found, indent=2))
    if args.output:
        print(f"wrote {results.write(found, args.output)}")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
