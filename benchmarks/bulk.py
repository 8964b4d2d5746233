"""stylemap bulk against a plain loop, and a run whose workers are killed all the time.

    python -m stylemap.benchmarks.bulk speed [--count 2000] [--rounds 3] [--model FILE] [--output FILE]
    python -m stylemap.benchmarks.bulk kills [--count 10000] [--every 20] [--model FILE | --cheap]
        [--output FILE]

``speed`` takes turns: one process of `stylemap reconstruct` with two threads and one of `stylemap bulk`;
then two processes of `stylemap reconstruct`, one thread and half of the images each, and `stylemap bulk
--ray local` with two workers of one thread. A rate is that of the middle half of the results, by the times of
the files: it leaves out how long imports and Ray take to start; ``seconds`` has all of it.

``kills`` compares a run on Ray, one worker of which is killed at every interval, with one in a single
process. What is lost or not does not depend on what an image costs: ``--cheap`` takes a network of 64×64 with
weights of a fixed recipe in the bundled one's place.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stylemap import checkpoint
from stylemap.benchmarks import machine
from stylemap.config import Config
from stylemap.files import write_whole
from stylemap.model.recipe import recipe_model

_WORKER = b"ray::MapWorker"
_SAID = 20.0  # seconds between lines that say how far a run is
_CHEAP = Config(
    size=64,
    latent_channel_size=32,
    small_generator=True,
    channel_table={64: 24, 32: 48, 16: 64, 8: 64},
)


def _start(threads: int, *words: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "stylemap", *map(str, words), "--quiet"]
    # What Ray says of every worker that dies goes to the standard output.
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for each in processes:
        _, said = each.communicate()
        if each.returncode:
            raise RuntimeError(f"{' '.join(map(str, each.args))}: {said.decode()[-500:]}")  # type: ignore[arg-type]


def _rate(folders: Sequence[Path]) -> float:
    """Images a second while all works: of every folder that a process wrote, of the middle half; the sum."""
    rates = []
    for folder in folders:
        times = sorted(path.stat().st_mtime for path in folder.rglob("*.png"))
        first, last = len(times) // 4, 3 * len(times) // 4
        rates.append((last - first) / (times[last] - times[first]))
    return sum(rates)


def _timed(folders: Sequence[Path], commands: Sequence[tuple[int, list[object]]]) -> dict[str, float]:
    start = time.monotonic()
    _end([_start(threads, *words) for threads, words in commands])
    return {"images_per_second": _rate(folders), "seconds": time.monotonic() - start}


def speed(source: Path, work: Path, model: list[object], rounds: int) -> dict[str, Any]:
    """Rates of the four ways, each ``rounds`` times in turns, and the ratios that count."""
    photos = sorted(source.glob("*.png"))
    halves = [work / "half0", work / "half1"]
    for index, half in enumerate(halves):
        half.mkdir()
        for photo in photos[index::2]:
            (half / photo.name).symlink_to(photo)
    found: dict[str, list[dict[str, float]]] = {}
    for turn in range(rounds):
        out = {name: work / f"{name}{turn}" for name in ("loop", "bulk", "two0", "two1", "ray")}
        tail = ["--threads", 2]
        ways: dict[str, tuple[list[Path], list[tuple[int, list[object]]]]] = {
            "loop": ([out["loop"]], [(2, ["reconstruct", source, "-o", out["loop"], "--no-sheet", *model])]),
            "bulk": (
                [out["bulk"]],
                [(2, ["bulk", "reconstruct", source, "-o", out["bulk"], *tail, *model])],
            ),
            "two_processes": (
                [out["two0"], out["two1"]],
                [
                    (1, ["reconstruct", half, "-o", out[f"two{i}"], "--no-sheet", *model])
                    for i, half in enumerate(halves)
                ],
            ),
            "ray_two_workers": ([out["ray"]], [(1, _on_ray(source, out["ray"], 16, model))]),
        }
        for name, (folders, commands) in ways.items():
            found.setdefault(name, []).append(_timed(folders, commands))
            print(f"round {turn + 1} of {rounds}, {name}: {found[name][-1]}", flush=True)
    median = {
        name: statistics.median(one["images_per_second"] for one in each) for name, each in found.items()
    }
    ratios = {
        "bulk_to_loop": median["bulk"] / median["loop"],
        "ray_to_two_processes": median["ray_two_workers"] / median["two_processes"],
    }
    goals = {"bulk_to_loop": 1.0, "ray_to_two_processes": 0.9}
    met = {name: ratios[name] >= goal for name, goal in goals.items()}
    return {
        "images": len(photos),
        "runs": found,
        "median": median,
        "ratios": ratios,
        "goals": goals,
        "met": met,
    }


def _on_ray(source: Path, out: Path, chunk: int, model: list[object]) -> list[object]:
    where = ["--ray", "local", "--workers", 2, "--threads", 1, "--chunk", chunk]
    return ["bulk", "reconstruct", source, "-o", out, *where, *model]


def kills(source: Path, work: Path, model: list[object], every: float) -> dict[str, Any]:
    """What is left of a run when a worker is killed every ``every`` seconds."""
    start = time.monotonic()
    run = _start(1, *_on_ray(source, work / "killed", 64, model))
    killed = 0
    due, said = start + every, start + _SAID
    while run.poll() is None:
        now = time.monotonic()
        if now >= said:
            said += _SAID
            print(f"{now - start:.0f} s: {_count(work / 'killed')} images, {killed} killed", flush=True)
        if now >= due:
            due += every
            workers = processes_of(_WORKER, run.pid)
            if workers:
                os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
        time.sleep(0.2)
    _end([run])
    seconds = time.monotonic() - start
    print(f"{seconds:.0f} s, {killed} killed; now the same in one process", flush=True)
    _end([_start(2, "bulk", "reconstruct", source, "-o", work / "whole", "--chunk", 64, *model)])
    rows = [json.loads(line) for line in (work / "killed" / "manifest.jsonl").read_text().splitlines()]
    names = [
        {path.relative_to(out) for path in out.rglob("*.png")} for out in (work / "killed", work / "whole")
    ]
    same = names[0] == names[1] and all(
        (work / "killed" / name).read_bytes() == (work / "whole" / name).read_bytes() for name in names[0]
    )
    return {
        "images": len(list(source.glob("*.png"))),
        "rows": len(rows),
        "rows_ok": sum(row["status"] == "ok" for row in rows),
        "killed": killed,
        "every_seconds": every,
        "seconds": seconds,
        "same_bytes_as_one_process": same,
        "met": same and all(row["status"] == "ok" for row in rows) and killed > 0,
    }


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.png"))


def processes_of(command: bytes, ancestor: int | None = None) -> list[int]:
    """The processes whose command begins so, and that another one (by default this) started, by what Linux
    says of them."""
    parents, found = {}, []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(command):
                found.append(pid)
        except OSError:
            continue  # it has ended
    return sorted(pid for pid in found if _descends(pid, ancestor or os.getpid(), parents))


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two; 0 where its goals are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "kills"])
    parser.add_argument("--count", type=int, help="drawn faces (default: 2000, or 10000 for kills)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=float, default=20, help="seconds between kills (default: 20)")
    parser.add_argument("--size", type=int, default=128, help="side of the faces (default: 128)")
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--cheap", action="store_true", help="a network of 64x64 that costs little instead")
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args(argv)
    count = args.count or (2000 if args.what == "speed" else 10_000)
    model: list[object] = ["--model", Path(args.model).absolute()] if args.model else []
    with tempfile.TemporaryDirectory() as folder:
        work, source = Path(folder), Path(folder) / "faces"
        if args.cheap:
            args.size, model = _CHEAP.size, ["--model", work / "cheap.safetensors"]
            checkpoint.save_safetensors(recipe_model(_CHEAP), work / "cheap.safetensors")
        drawn = [
            "data",
            "faces",
            "--size",
            args.size,
            "--count",
            count,
            "--seed",
            7,
            "--no-masks",
            "-o",
            source,
        ]
        _end([_start(2, *drawn)])
        if args.what == "speed":
            found = speed(source, work, model, args.rounds)
            met = all(found["met"].values())
        else:
            found = kills(source, work, model, args.every)
            met = found["met"]
    report = {
        "what": f"stylemap bulk: {args.what}",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "model": "recipe 64x64" if args.cheap else args.model or "bundled",
        "machine": machine.describe(torch.device("cpu")),
        **found,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if args.output is not None:
        with write_whole(args.output) as file:
            file.write(text.encode() + b"\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
