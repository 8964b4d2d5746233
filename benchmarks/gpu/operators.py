"""The operators on a GPU against PyTorch, torch.compile and cuDNN, as fractions of the machine's peaks.

A candidate whose result is wrong is not timed. Everything runs as a CUDA graph; a candidate that cannot be
captured runs eagerly, and is marked.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.benchmarks.gpu.cases import Case, Maker, convolution_cases, memory_cases
from stylemap.benchmarks.gpu.steps import write
from stylemap.benchmarks.tables import markdown
from stylemap.benchmarks.timing import Clock, captured, compare
from stylemap.benchmarks.truth import relative_error

#: Relative L2 error against float32 above which a candidate is wrong.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def cases(device: torch.device, tiny: bool) -> Iterator[Case]:
    """In order of interest: a run that is out of time loses the last ones."""
    half = Maker(device, torch.float16)
    brain = Maker(device, torch.bfloat16)
    single = Maker(device, torch.float32)
    if tiny:
        yield from memory_cases(Maker(device, torch.float32), 1, 8, 8, rivals=False)
        yield from convolution_cases(half, 1, 16, 4)
        return
    yield from memory_cases(half, 8, 128, 256, rivals=True)
    for size, channels in ((256, 128), (128, 256), (64, 512)):
        yield from convolution_cases(brain, 8, channels, size)
    for size, channels in ((256, 128), (128, 256), (64, 512), (32, 512), (16, 512)):
        yield from convolution_cases(half, 1, channels, size)
    yield from memory_cases(single, 8, 64, 256, rivals=False)
    yield from memory_cases(half, 1, 128, 256, rivals=False)


def measure(case: Case, clock: Clock, peak: dict[str, float]) -> dict[str, Any]:
    """One row of the result."""
    device = clock.device
    row: dict[str, Any] = {"case": case.name, "candidates": {}}
    expected = None if case.expected is None else _tensor(case.expected())
    ready = {}
    for name, run in case.runs.items():
        entry: dict[str, Any] = row["candidates"].setdefault(name, {})
        try:
            error = 0.0 if expected is None else relative_error(_tensor(run()), expected)
            entry["error"] = error
            if not error <= TOLERANCE[case.dtype]:
                entry["status"] = "wrong"
                continue
        except (ImportError, NotImplementedError) as missing:
            entry["status"] = f"not available: {missing}"
            continue
        try:
            ready[name], entry["status"] = captured(run, device), "graph"
        except RuntimeError as failure:
            torch.cuda.synchronize()
            ready[name], entry["status"] = run, f"eager: {failure}".splitlines()[0]
    for name, samples in compare(ready, clock).items() if ready else ():
        entry, ms = row["candidates"][name], samples.median
        entry |= {"ms": ms, "spread": samples.spread}
        if case.bytes:
            entry["gbps"] = case.bytes / ms / 1e6
            entry["fraction"] = entry["gbps"] / peak["copy_gbps"]
        if case.flops:
            entry["tflops"] = case.flops / ms / 1e9
            entry["fraction"] = entry["tflops"] / peak[f"matmul_{str(case.dtype)[6:]}_tflops"]
    row |= verdict(case, row["candidates"])
    return row


def verdict(case: Case, candidates: dict[str, Any]) -> dict[str, Any]:
    """Whether the best of ours reaches the case's target."""
    ours = {n: c for n, c in candidates.items() if n.startswith("ours") and "ms" in c}
    if not ours:
        return {"met": False, "best": None}
    best = min(ours, key=lambda name: ours[name]["ms"])
    result: dict[str, Any] = {"best": best, "met": True}
    if case.target is not None:
        result |= {"target": f"{case.target:.0%} of peak", "met": ours[best]["fraction"] >= case.target}
    rival = candidates.get(case.rival or "", {})
    if "ms" in rival:
        # Equal within the rounds' own spread is not slower.
        slack = 1 + max(ours[best]["spread"], rival["spread"])
        result |= {"target": f"no slower than {case.rival}", "met": ours[best]["ms"] <= rival["ms"] * slack}
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a line per case."""
    lines = []
    for row in rows:
        candidates, best = row["candidates"], row.get("best")
        others = ", ".join(
            f"{n} {c['ms']:.3f}" if "ms" in c else f"{n} {c['status'][:24]}"
            for n, c in candidates.items()
            if n != best
        )
        own = candidates.get(best, {})
        goal = f"{row.get('target', '')} {'met' if row['met'] else 'MISSED'}" if row.get("target") else ""
        figures = f"{own.get('ms', 0):.3f}", f"{own.get('fraction', 0):.0%}"
        lines.append([row["case"], str(best), *figures, others, goal])
    return markdown(["case", "best of ours", "ms", "of peak", "others (ms)", "target"], lines)


def _tensor(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def peaks(clock: Clock, *, tiny: bool = False) -> dict[str, float]:
    """GB/s of a copy and TFLOP/s of matrix products, measured here and now."""
    device = clock.device
    source = torch.empty(1 << (16 if tiny else 30), dtype=torch.int8, device=device)
    target, n = torch.empty_like(source), 64 if tiny else 8192
    copied = compare({"copy": lambda: target.copy_(source)}, clock)["copy"].median
    found = {"copy_gbps": 2 * source.numel() / copied / 1e6}
    for dtype in (torch.bfloat16, torch.float16):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        product = compare({"matmul": functools.partial(torch.matmul, a, b)}, clock)["matmul"].median
        found[f"matmul_{str(dtype)[6:]}_tflops"] = 2 * n**3 / product / 1e9
    return found


@torch.no_grad()
def run(output: Path, seconds: float, device: str, tiny: bool) -> None:
    """Measure all cases, in order of interest; none is begun after ``seconds``. Writes after every case."""
    start, clock = time.monotonic(), Clock(torch.device(device))
    torch.backends.cudnn.benchmark = True
    content: dict[str, Any] = {"peaks": peaks(clock, tiny=tiny), "rows": [], "skipped": 0}
    for case in cases(clock.device, tiny):
        if time.monotonic() - start > seconds:
            content["skipped"] += 1
            continue
        try:
            row = measure(case, clock, content["peaks"])
        except Exception as failure:
            row = {"case": case.name, "candidates": {}, "met": False, "failure": repr(failure)}
            logging.exception("%s", case.name)
        content["rows"].append(row)
        write(content, output)
        if device == "cuda":
            torch.cuda.empty_cache()
    write(content, output)
    print(content["peaks"], table(content["rows"]), sep="\n")
