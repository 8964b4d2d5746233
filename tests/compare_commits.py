"""Whether two checkouts compute the same on a CPU, bit for bit, and which is faster.

    python tests/compare_commits.py BEFORE AFTER                      every configuration
    python tests/compare_commits.py BEFORE AFTER --size 64 --norm LayerNorm --precision fp32
    python tests/compare_commits.py BEFORE AFTER --times              paired times at 128 and 256
    python tests/compare_commits.py BEFORE AFTER --speed-of "cached edit" --rounds 60 --times

BEFORE and AFTER are folders with a checkout (`git worktree add`) and its compiled library. Results of
models with BatchNorm2d may differ by 1e-6 of their norm (in bf16 by 2e-2), as their statistics may be folded
in another way.

With --times both run in turns, in an order that changes every round; the ratio is AFTER / BEFORE, the median
of the rounds with its 95 % interval (by ranks). On a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NORMS = ("LayerNorm", "InstanceNorm2d", "GroupNorm", "BatchNorm2d")
TIMED = ("encode", "decode", "cached edit", "preview", "add")
# For BatchNorm2d alone, whose statistics may be folded in another way: relative, and in bfloat16 what its
# rounding of other factors makes of it.
FOLDED = {"fp32": 1e-6, "bf16": 2e-2}
WORKER = Path(__file__).resolve().parent / "helpers" / "one_commit.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path, metavar="BEFORE")
    parser.add_argument("after", type=Path, metavar="AFTER")
    parser.add_argument("--size", type=int, nargs="+", help="sides of images, in pixels")
    parser.add_argument("--norm", nargs="+", choices=NORMS, default=NORMS)
    parser.add_argument("--generator", nargs="+", choices=("full", "small"), default=("full", "small"))
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--narrow", action="store_true", help="an eighth of the channels: a quick look")
    parser.add_argument("--times", action="store_true", help="time instead of comparing")
    parser.add_argument("--speed-of", nargs="+", choices=TIMED, default=TIMED)
    parser.add_argument("--rounds", type=int, default=25, help="of both, for every operation")
    return parser.parse_args()


def specs(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Configurations with their names."""
    sizes = options.size or ((128, 256) if options.times else (64, 128, 256))
    norms = options.norm if not options.times else options.norm[:1]
    for size, generator, norm, precision in itertools.product(
        sizes, options.generator, norms, options.precision
    ):
        config: dict[str, Any] = {"size": size, "normalize_mode": norm}
        config["small_generator"] = generator == "small"
        if options.narrow:
            table = {8: 64, 16: 64, 32: 64, 64: 64, 128: 32, 256: 16}
            config |= {"latent_channel_size": 16, "channel_table": {str(r): c for r, c in table.items()}}
        yield (
            f"{size} {generator} {norm} {precision}",
            {
                "config": config,
                "precision": precision,
                "cache_precision": "fp32" if precision == "fp32" else "fp16",
                "seed": 11,
                "threads": options.threads,
            },
        )


def start(checkout: Path, task: str, *rest: str, **more: Any) -> subprocess.Popen[str]:
    """The worker, with the package of a checkout and without anything that was measured on this machine."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "STYLEMAP_CACHE": more.pop("cache")}
    command = [sys.executable, "-P", str(WORKER), task, *rest]
    return subprocess.Popen(command, cwd=checkout, env=environment, text=True, **more)


def computed(checkout: Path, spec: dict[str, Any], folder: str) -> dict[str, Tensor]:
    path = Path(folder) / "outputs.pt"
    worker = start(checkout, "outputs", json.dumps(spec), str(path), cache=folder)
    if worker.wait() != 0:
        raise SystemExit(f"{checkout}: the worker failed")
    found: dict[str, Tensor] = torch.load(path)
    return found


def differences(before: dict[str, Tensor], after: dict[str, Tensor], allowed: float) -> list[str]:
    """A line for every result that is not the same."""
    lines = [f"{name}: only in one of them" for name in sorted(before.keys() ^ after.keys())]
    for name in before.keys() & after.keys():
        a, b = before[name], after[name]
        if not bool(a.isfinite().all()):
            lines.append(f"{name}: not finite")
        elif a.shape != b.shape or a.dtype != b.dtype:
            lines.append(f"{name}: {tuple(a.shape)} {a.dtype} and {tuple(b.shape)} {b.dtype}")
        elif not torch.equal(a, b):
            error = float((a.double() - b.double()).norm() / a.double().norm())
            if error > allowed:
                lines.append(f"{name}: relative difference {error:.1e}")
    return lines


def compare(options: argparse.Namespace) -> int:
    failed = 0
    for name, spec in specs(options):
        with tempfile.TemporaryDirectory() as folder:
            before, after = (computed(tree, spec, folder) for tree in (options.before, options.after))
        allowed = FOLDED[spec["precision"]] if spec["config"]["normalize_mode"] == "BatchNorm2d" else 0.0
        lines = differences(before, after, allowed)
        failed += bool(lines)
        verdict = "differs" if lines else "same bits" if allowed == 0 else f"the same to {allowed:g}"
        print(f"{name}: {verdict}, {len(before)} results", *lines, sep="\n  ", flush=True)
    return 1 if failed else 0


def timed(options: argparse.Namespace) -> int:
    order = random.Random(0)
    for name, spec in specs(options):
        with tempfile.TemporaryDirectory() as folder:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cache": folder}
            trees = (options.before, options.after)
            workers = [start(tree, "times", json.dumps(spec), **pipes) for tree in trees]
            try:
                for worker in workers:
                    answer(worker)
                for operation in options.speed_of:
                    print(
                        f"{name} {operation}: {ratio(workers, operation, options.rounds, order)}", flush=True
                    )
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
    return 0


def ratio(workers: list[subprocess.Popen[str]], operation: str, rounds: int, order: random.Random) -> str:
    pairs = []
    for _ in range(rounds):
        seconds = {}
        for index in order.sample(range(2), 2):
            stdin = workers[index].stdin
            assert stdin is not None
            stdin.write(f"{operation}\n")
            stdin.flush()
            seconds[index] = float(answer(workers[index]))
        pairs.append((seconds[0], seconds[1]))
    ratios = sorted(after / before for before, after in pairs)
    middle = statistics.median(ratios)
    # Ranks of a binomial distribution's 2.5 % and 97.5 %, by its normal approximation.
    reach = round(0.98 * rounds**0.5)
    low, high = ratios[max(rounds // 2 - reach, 0)], ratios[min(rounds // 2 + reach, rounds - 1)]
    was, now = (1e3 * statistics.median(each) for each in zip(*pairs))
    return f"{middle:.3f} ({low:.3f} to {high:.3f}), {was:.1f} ms before, {now:.1f} after"


def answer(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a worker failed")
    return line


def main() -> int:
    options = arguments()
    for tree in (options.before, options.after):
        if not (tree / "stylemap").is_dir():
            raise SystemExit(f"{tree} is no checkout: it has no folder stylemap")
    return timed(options) if options.times else compare(options)


if __name__ == "__main__":
    sys.exit(main())
