"""Timing on a GPU: device events, a cold second-level cache, interleaved rounds; and the machine's peaks."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

FLUSH_BYTES = 512 << 20  # several times the cache; its write also hides what the host takes to launch
ROUNDS = 15

Run = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    median_ms: float
    spread: float  # of the middle half of the rounds, over the median


class Timer:
    """Times functions on ``device``; on a CPU by the clock, which serves to test the rest."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        size = FLUSH_BYTES if device.type == "cuda" else 1
        self._flush = torch.empty(size, dtype=torch.int8, device=device)

    def compare(self, runs: Mapping[str, Run], rounds: int = ROUNDS) -> dict[str, Timing]:
        """Medians of all runs, taken in turns so that what the machine does meanwhile hits all of them."""
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run()
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(self._once(run))
        return {name: _timing(values) for name, values in times.items()}

    def _once(self, run: Run) -> float:
        if self.device.type != "cuda":
            before = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - before)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._flush.zero_()
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))


def _timing(values: list[float]) -> Timing:
    median = statistics.median(values)
    quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [median] * 3
    return Timing(median, (quarters[2] - quarters[0]) / median if median else 0.0)


def captured(run: Run, device: torch.device) -> Run:
    """``run`` as a CUDA graph's replay: no host work left in it, and proof that it can be captured."""
    if device.type != "cuda":
        return run
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def peaks(timer: Timer, *, tiny: bool = False) -> dict[str, float]:
    """Copy bandwidth in GB/s and matmul rates in TFLOP/s, measured here and now."""
    device = timer.device
    source = torch.empty(1 << (16 if tiny else 30), dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    found = {
        "copy_gbps": 2
        * source.numel()
        / timer.compare({"copy": lambda: target.copy_(source)})["copy"].median_ms
        / 1e6
    }
    n = 64 if tiny else 8192
    for dtype in (torch.bfloat16, torch.float16):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        ms = timer.compare({"matmul": functools.partial(torch.matmul, a, b)})["matmul"].median_ms
        found[f"matmul_{str(dtype)[6:]}_tflops"] = 2 * n**3 / ms / 1e9
    return found
