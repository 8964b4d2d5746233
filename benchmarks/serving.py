"""stylemap serve under load: against one process of the editor's server, and with replicas that are killed.

    python -m stylemap.benchmarks.serving load [--seconds 30] [--limit 250] [--model FILE] [--output FILE]
    python -m stylemap.benchmarks.serving kills [--minutes 10] [--every 60] [--model FILE] [--output FILE]

``load``: clients that ask again as soon as they are answered, 1, 2, 4, … of them; each has an original and a
reference of its own and moves the reference between its edits. The load held is the highest rate of edits
whose 95th percentile is within ``--limit`` milliseconds. It is measured of the editor's server, of ``serve
--replicas 0``, and of two replicas on Ray.

``kills``: two replicas on Ray at 80 % of what they do, as requests that come at random times; a replica is
killed at every interval. Who is refused with status 429 asks again after the time of its Retry-After. Every
answer is compared with that of an undisturbed service, the server's count of answers with the clients', and
the memory of all processes is noted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

from stylemap.benchmarks import machine, results
from stylemap.benchmarks.bulk import processes_of
from stylemap.benchmarks.editor import quantile

REPLICA = b"ray::ServeReplica:stylemap:engine"
MASK = "ellipse:0.5,0.65,0.28,0.22"
_TWO = ("--replicas", "2", "--ray", "local")
_PHOTOS = 8
_SHARE = 0.8  # of what the replicas do
_ASKED = 30  # times that a request is made which is refused
_SAID = 30.0  # seconds between lines that say how far a run is
_FLAT = 1.1  # of the memory in the second quarter of a run, that the last may take
Edit = Callable[[httpx.AsyncClient, int, int], Awaitable[int]]


@contextlib.contextmanager
def server(*words: object) -> Iterator[tuple[str, int]]:
    """Address and process of a server, ``stylemap`` with these words, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "stylemap", *map(str, words), "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"http://[^/\s]+", line)
                if found is not None and line.startswith("stylemap"):
                    yield found.group(), process.pid
                    return
            log.seek(0)
            raise RuntimeError(f"the server did not start: {' '.join(command)}: {log.read()[-2000:]}")
        finally:
            process.terminate()
            process.wait(60)


def faces(folder: Path) -> list[bytes]:
    """Drawn photos."""
    words = ["data", "faces", "--size", "256", "--count", str(_PHOTOS), "--seed", "5", "--no-masks"]
    command = [sys.executable, "-m", "stylemap", *words, "-o", str(folder), "--quiet"]
    subprocess.run(command, check=True)
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))]


def shift(turn: int) -> list[float]:
    """Where the reference is at an edit."""
    return [float(turn * 3 % 33 - 16), float(turn * 5 % 17 - 8)]


async def prepared_service(client: httpx.AsyncClient, photos: Sequence[bytes], clients: int) -> Edit:
    """Edits of `stylemap serve`: of known photos, one request each."""
    names = []
    for photo in photos:
        names.append((await client.post("/v1/images", content=photo)).raise_for_status().json()["sha256"])

    async def edit(client: httpx.AsyncClient, who: int, turn: int) -> int:
        return (await client.post("/v1/edit", json=body(names, who, turn))).status_code

    return edit


def body(names: Sequence[str], who: int, turn: int) -> dict[str, Any]:
    """One edit of one client."""
    original, other = names[who % len(names)], names[(who + 1) % len(names)]
    return {"original": original, "references": [{"image": other, "mask": MASK, "shift": shift(turn)}]}


async def prepared_editor(client: httpx.AsyncClient, photos: Sequence[bytes], clients: int) -> Edit:
    """Edits of the editor's server: a session for each client, the scene set and the result read."""
    from PIL import Image

    from stylemap.edit.masks import drawn
    from stylemap.editor.photos import png

    size = (await client.get("/api/model")).json()["size"]
    mask = png(Image.fromarray((drawn(MASK, size) * 255).numpy().astype("uint8")))
    scenes = []
    for who in range(clients):
        base = f"/api/sessions/{(await client.post('/api/sessions')).raise_for_status().json()['session']}"
        own = []
        for photo in (photos[who % len(photos)], photos[(who + 1) % len(photos)]):
            own.append((await client.post(f"{base}/images", content=photo)).raise_for_status().json()["id"])
        scenes.append((base, own))
        scene = {"original": own[0], "references": [{"mask": 1, "image": own[1]}]}
        (await client.put(f"{base}/scene", json=scene)).raise_for_status()
        (await client.put(f"{base}/masks/1", content=mask)).raise_for_status()

    async def edit(client: httpx.AsyncClient, who: int, turn: int) -> int:
        base, own = scenes[who]
        reference = {"mask": 1, "image": own[1], "shift": shift(turn)}
        put = await client.put(f"{base}/scene", json={"original": own[0], "references": [reference]})
        return put.status_code if put.is_error else (await client.get(f"{base}/result")).status_code

    return edit


async def closed(address: str, prepare: Any, photos: Sequence[bytes], clients: int, seconds: float) -> Any:
    """Clients that ask again at once: the rate, times in milliseconds, and statuses."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=_connections()) as client:
        edit = await prepare(client, photos, clients)
        for who in range(clients):  # to warm up
            await edit(client, who, 0)
        end = time.perf_counter() + seconds

        async def one(who: int) -> None:
            turn = 0
            while (start := time.perf_counter()) < end:
                turn += 1
                statuses[await edit(client, who, turn)] += 1
                times.append(1000 * (time.perf_counter() - start))

        await asyncio.gather(*(one(who) for who in range(clients)))
    return {
        "clients": clients,
        "edits_per_second": round(len(times) / seconds, 2),
        "p50_ms": round(quantile(times, 0.5), 1),
        "p95_ms": round(quantile(times, 0.95), 1),
        "refused": sum(count for status, count in statuses.items() if status >= 300),
    }


def _connections() -> httpx.Limits:
    return httpx.Limits(max_connections=None, max_keepalive_connections=256)


def load(photos: Sequence[bytes], args: argparse.Namespace, model: Sequence[str]) -> dict[str, Any]:
    """The load that each server holds."""
    serve = ["serve", "--token-rate", "1e6", "--threads"]
    ways: dict[str, tuple[list[str], Any]] = {
        "editor": (["edit-server", "--threads", "2"], prepared_editor),
        "serve_in_process": ([*serve, "2", "--replicas", "0"], prepared_service),
        "serve_two_replicas": ([*serve, "1", *_TWO], prepared_service),
    }
    found: dict[str, list[Any]] = {}
    for name, (words, prepare) in ways.items():
        rows = found[name] = []
        with server(*words, *model) as (address, _):
            for clients in (1, 2, 4, 6, 8, 12, 16):
                rows.append(asyncio.run(closed(address, prepare, photos, clients, args.seconds)))
                print(name, rows[-1], flush=True)
                if rows[-1]["p95_ms"] > args.limit:
                    break
    held = {
        name: max([row["edits_per_second"] for row in rows if row["p95_ms"] <= args.limit], default=0.0)
        for name, rows in found.items()
    }
    ratio = held["serve_two_replicas"] / held["editor"] if held["editor"] else None
    return {"limit_ms": args.limit, "runs": found, "held": held, "two_replicas_to_editor": ratio}


@dataclass
class Tally:
    """What came of the requests of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    broken: int = 0  # connections that ended without an answer
    given_up: int = 0  # requests that were refused every time
    times: list[tuple[float, float]] = field(default_factory=list)  # when, milliseconds
    kills: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)  # when, KiB


def kills(photos: Sequence[bytes], args: argparse.Namespace, model: Sequence[str]) -> dict[str, Any]:
    """A long run with replicas that are killed."""
    words = ["serve", "--token-rate", "1e6", "--token-jobs", "10000", "--threads", "1", *_TWO]
    with server(*words, *model) as (address, pid):
        full = asyncio.run(closed(address, prepared_service, photos, 8, args.seconds))
        print("full:", full, flush=True)
        rate = args.rate or _SHARE * full["edits_per_second"]
        tally, counted = asyncio.run(_disturbed(address, pid, photos, rate, args))
    seconds = 60 * args.minutes
    accepted = tally.statuses[200]
    quarters = [
        [kib for when, kib in tally.memory if i * seconds / 4 <= when < (i + 1) * seconds / 4]
        for i in range(4)
    ]
    memory = [round(statistics.median(each) / 1024, 1) if each else None for each in quarters]
    flat = bool(memory[1] and memory[3] and memory[3] <= _FLAT * memory[1])
    times = [spent for _, spent in tally.times]
    return {
        "full": full,
        "rate": round(rate, 2),
        "minutes": args.minutes,
        "every_seconds": args.every,
        "requests": sum(tally.statuses.values()) - tally.statuses[429] + tally.broken + tally.given_up,
        "answered": accepted,
        "answered_says_the_server": counted,
        "refused_429": tally.statuses[429],
        "other_statuses": {str(s): n for s, n in tally.statuses.items() if s not in (200, 429)},
        "refused_every_time": tally.given_up,
        "broken_connections": tally.broken,
        "wrong_pictures": tally.wrong,
        "killed": len(tally.kills),
        "latency_ms": {name: round(quantile(times, q), 1) for name, q in _QUANTILES} if times else {},
        "memory_mib_by_quarter": memory,
        "met": bool(
            tally.kills
            and accepted == counted
            and not tally.wrong
            and not tally.broken
            and set(tally.statuses) <= {200, 429}
            and flat
        ),
    }


_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


async def _disturbed(
    address: str, pid: int, photos: Sequence[bytes], rate: float, args: argparse.Namespace
) -> tuple[Tally, int]:
    """The run itself; what came of it, and how many edits the server says that it answered meanwhile."""
    tally, seconds, random_ = Tally(), 60 * args.minutes, random.Random(0)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=_connections()) as client:
        names = [(await client.post("/v1/images", content=one)).json()["sha256"] for one in photos]
        bodies = [body(names, who, turn) for who in range(_PHOTOS) for turn in range(8)]
        expected = []
        for each in bodies:
            answer = (await client.post("/v1/edit", json=each)).raise_for_status()
            expected.append(hashlib.sha256(answer.content).digest())
        before, start = await _answered(client), time.perf_counter()

        async def one(which: int) -> None:
            for _ in range(_ASKED):
                begin = time.perf_counter()
                try:
                    answer = await client.post("/v1/edit", json=bodies[which])
                except httpx.TransportError:
                    tally.broken += 1
                    return
                tally.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    tally.times.append((begin - start, 1000 * (time.perf_counter() - begin)))
                    tally.wrong += hashlib.sha256(answer.content).digest() != expected[which]
                if answer.status_code != 429:
                    return
                # Not all at the same moment.
                await asyncio.sleep(float(answer.headers["retry-after"]) * random_.uniform(1, 1.5))
            tally.given_up += 1

        watching = asyncio.create_task(_watch(pid, start, seconds, args.every, tally))
        running: set[asyncio.Task[None]] = set()
        due = start
        while (due := due + random_.expovariate(rate)) < start + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(one(random_.randrange(len(bodies))))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        watching.cancel()
        return tally, await _answered(client) - before


async def _watch(pid: int, start: float, seconds: float, every: float, tally: Tally) -> None:
    """Note the memory, and kill a replica at every interval, for some seconds."""
    next_kill, next_line = start + every, start + _SAID
    while True:
        processes = processes_of(b"", pid)
        tally.memory.append((time.perf_counter() - start, sum(map(machine.resident, processes))))
        if next_kill <= time.perf_counter() < start + seconds:
            next_kill += every
            replicas = processes_of(REPLICA, pid)
            if replicas:
                os.kill(replicas[len(tally.kills) % len(replicas)], signal.SIGKILL)
                tally.kills.append(time.perf_counter() - start)
        if next_line <= time.perf_counter():
            next_line += _SAID
            print(
                f"{time.perf_counter() - start:.0f} of {seconds:.0f} s: {dict(tally.statuses)}, "
                f"{len(tally.kills)} killed, {tally.memory[-1][1] >> 10} MiB",
                flush=True,
            )
        await asyncio.sleep(2)


async def _answered(client: httpx.AsyncClient) -> int:
    text = (await client.get("/metrics")).raise_for_status().text
    found = re.search(
        r'^stylemap_requests_total\{endpoint="/v1/edit",status="200"\} (\S+)$', text, re.MULTILINE
    )
    return int(float(found.group(1))) if found else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two; 0 where its goals are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["load", "kills"])
    parser.add_argument(
        "--seconds", type=float, default=30, help="of one measurement of a rate (default: 30)"
    )
    parser.add_argument("--limit", type=float, default=250, help="milliseconds at p95 (default: 250)")
    parser.add_argument("--minutes", type=float, default=10, help="of the run with kills (default: 10)")
    parser.add_argument("--every", type=float, default=60, help="seconds between kills (default: 60)")
    parser.add_argument("--rate", type=float, help="requests a second, instead of 80 %% of what is possible")
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args(argv)
    model = ["--model", str(Path(args.model).absolute())] if args.model else []
    with tempfile.TemporaryDirectory() as folder:
        photos = faces(Path(folder))
        found = (load if args.what == "load" else kills)(photos, args, model)
    report = {
        "what": f"stylemap serve: {args.what}",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(torch.device("cpu")),
        **found,
    }
    for name, value in found.items():
        print(f"{name}: {value}")
    if args.output is not None:
        print(f"wrote {results.write(report, args.output)}")
    return 0 if found.get("met", True) else 1


if __name__ == "__main__":
    sys.exit(main())
