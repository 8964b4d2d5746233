"""Ten minutes of clients that connect, upload, paint and vanish: does the editor's memory stay bounded?

    python -m stylemap.benchmarks.editor_soak [--minutes 10] [--clients 3] [--model FILE] [--output FILE]

The server's resident memory is sampled once a second. It is bounded where the second half of the run needs no
more than the first, up to a few megabytes of allocator noise.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from stylemap.benchmarks import machine, results
from stylemap.benchmarks.editor import server
from stylemap.editor import protocol

#: MiB that two halves of a run may differ by.
NOISE = 24.0


class Visitors(threading.Thread):
    """One client after the other: each uploads a photo, edits it with a gallery's face, and leaves, half of
    them without a goodbye and some after a message that breaks the rules."""

    def __init__(self, host: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.host, self.random = host, random.Random(seed)
        self.visits = self.frames = self.refused = 0
        self.leaving = threading.Event()

    def run(self) -> None:
        """Visit until ``leaving`` is set."""
        while not self.leaving.is_set():
            try:
                self._visit()
                self.visits += 1
            except (OSError, WebSocketException):
                self.refused += 1  # the server limits rates; a client waits
                self.leaving.wait(0.3)

    def _visit(self) -> None:
        with connect(f"ws://{self.host}/socket", max_size=None) as socket:
            hello = json.loads(socket.recv(10))
            size = hello["model"]["size"]
            mine = self._upload(hello["session"])
            scene = {"original": mine, "references": [{"mask": 1, "image": f"g{self.random.randrange(24)}"}]}
            socket.send(json.dumps({"type": "scene", "seq": 1, "scene": scene}))
            strokes = self.random.randrange(5, 40)
            for seq in range(2, strokes + 2):
                points = [(self.random.uniform(0, size), self.random.uniform(0, size)) for _ in range(4)]
                socket.send(protocol.stroke(1, seq, points, size / 10, final=seq == strokes + 1))
                time.sleep(0.01)
            shown = 0
            while shown < strokes + 1:
                message = socket.recv(20)
                if isinstance(message, bytes):
                    number, shown, *_ = protocol.parse_frame(message)
                    socket.send(protocol.ack(number))
                    self.frames += 1
            leave = self.random.random()
            if leave < 0.5:
                socket.socket.close()  # without a goodbye
            elif leave < 0.6:
                socket.send(b"nonsense")

    def _upload(self, session: str) -> str:
        width, height = self.random.randrange(200, 1600), self.random.randrange(200, 1200)
        noise = np.random.default_rng(self.random.randrange(1 << 30)).integers(0, 256, (8, 8, 3), np.uint8)
        photo = io.BytesIO()
        Image.fromarray(noise).resize((width, height)).save(photo, "JPEG")
        address = f"http://{self.host}/api/sessions/{session}/images"
        request = urllib.request.Request(address, photo.getvalue(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["id"])


def soak(host: str, seconds: float, clients: int, memory: Any) -> dict[str, Any]:
    """Let clients come and go. ``memory()``: MiB of the server now.

    Returns counts, and the median and greatest memory of either half.
    """
    visitors = [Visitors(host, seed) for seed in range(clients)]
    for visitor in visitors:
        visitor.start()
    samples, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        samples.append(memory())
        time.sleep(min(1.0, seconds / 20))
    for visitor in visitors:
        visitor.leaving.set()
    for visitor in visitors:
        visitor.join(30)
    half = len(samples) // 2
    halves = [
        {"median": float(np.median(part)), "most": max(part)} for part in (samples[:half], samples[half:])
    ]
    return {
        "visits": sum(visitor.visits for visitor in visitors),
        "frames": sum(visitor.frames for visitor in visitors),
        "refused": sum(visitor.refused for visitor in visitors),
        "memory_mib": halves,
        "bounded": halves[1]["most"] <= halves[0]["most"] + NOISE,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status is 1 where memory was not bounded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args(argv)
    options = ["--threads", "1", *(["--model", args.model] if args.model else [])]
    with server(*options) as (address, process):
        host = address.removeprefix("http://").rstrip("/")
        found = soak(host, 60 * args.minutes, args.clients, lambda: machine.resident(process) / 1024)
    print(json.dumps(found, indent=2))
    if args.output:
        described = machine.describe(torch.device("cpu"))
        results.write({"machine": described, "minutes": args.minutes, **found}, args.output)
    return 0 if found["bounded"] else 1


if __name__ == "__main__":
    sys.exit(main())
