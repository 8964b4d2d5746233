"""The operators against their definitions, forward and backward, and against what the machine can do."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.benchmarks.bench_ops import Case, Run, cases, check, sides
from stylemap.benchmarks.harness import Budget, Clock, interleave
from stylemap.benchmarks.summary import paired_ratio

_SECONDS = {True: 0.15, False: 0.7}
# Feature maps that a backward reads and writes at least; upfirdn2d's is itself.
_BACKWARD_MAPS = {"bias_act": 3, "modulate": 5, "blend": 3}


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The parts "peaks" and "ops". On a GPU, `gpu_check` times the operators."""
    if device.type != "cpu":
        raise RuntimeError("the operators on a GPU are timed by make gpu-bench")
    clock = Clock(device)
    peak = peaks(clock, quick)
    rows = []
    for case in chosen(quick):
        for direction in ("forward", "backward"):
            row = measure(case, direction, clock, _SECONDS[quick])
            rows.append(row | rates(row, case, direction, peak))
    return {"peaks": peak, "ops": rows}


def chosen(quick: bool) -> list[Case]:
    """In the layout of the network; quick: float32 at full size."""
    every = [case for case in cases() if case.channels_last]
    if quick:
        wanted = ("", "blur", "LayerNorm")
        every = [c for c in every if c.dtype == torch.float32 and c.option in wanted and c.shape[2] >= 64]
    return every


def peaks(clock: Clock, quick: bool) -> dict[str, float]:
    """GB/s of a copy, and GFLOP/s of products in float32 and bfloat16: of the fastest way through PyTorch."""
    source = torch.ones((64 if quick else 256) << 20, dtype=torch.uint8)
    target = torch.empty_like(source)
    runs: dict[str, Any] = {"copy": lambda _: target.copy_(source)}
    products: dict[str, Any] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        products |= {f"{way} {name}": each for way, each in _products(dtype).items()}
    runs |= {name: play for name, (play, _) in products.items()}
    with torch.no_grad():
        samples = interleave(runs, Budget(2.0 if quick else 6.0, 5, 60), clock)
    best = {name: min(found.milliseconds) for name, found in samples.items()}
    speed = {name: flops / best[name] / 1e6 for name, (_, flops) in products.items()}
    return {
        "copy_gb_per_s": round(2 * source.numel() / best["copy"] / 1e6, 2),
        **{
            f"matmul_{p}_gflop_per_s": round(max(v for name, v in speed.items() if name.endswith(p)), 1)
            for p in ("fp32", "bf16")
        },
    }


def _products(dtype: torch.dtype) -> dict[str, tuple[Any, float]]:
    """A matrix product, the same as a 1×1 convolution, and a 3×3 one, with their operations."""
    side = 1024
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    image = torch.randn(1, side, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last)
    features = torch.randn(1, 256, 64, 64).to(dtype).contiguous(memory_format=torch.channels_last)
    one, three = torch.randn(side, side, 1, 1).to(dtype), torch.randn(256, 256, 3, 3).to(dtype)
    return {
        "matmul": (lambda _: a @ b, 2.0 * side**3),
        "conv 1x1": (lambda _: F.conv2d(image, one), 2.0 * side**3),
        "conv 3x3": (lambda _: F.conv2d(features, three, padding=1), 2.0 * 64**2 * 256**2 * 9),
    }


def measure(case: Case, direction: str, clock: Clock, seconds: float) -> dict[str, Any]:
    """One row, without its rates."""
    if direction == "forward":
        with torch.no_grad():
            native, reference, _ = sides(case)
            check(case, native(), reference())
            samples = _timed(native, reference, clock, seconds)
    else:
        samples = _timed(*backwards(case), clock, seconds)
    ratio = paired_ratio(samples["reference"].by_round(), samples["native"].by_round())
    assert ratio is not None
    # The best of each: what the machine does else only ever adds to it.
    return {
        "op": case.op,
        "case": str(case),
        "direction": direction,
        "native_ms": round(min(samples["native"].milliseconds), 4),
        "reference_ms": round(min(samples["reference"].milliseconds), 4),
        **{
            to: round(getattr(ratio, of), 3)
            for to, of in (("ratio", "value"), ("low", "low"), ("high", "high"))
        },
    }


def rates(row: dict[str, Any], case: Case, direction: str, peak: dict[str, float]) -> dict[str, float]:
    """Bytes and multiply-adds per second, and the fraction of the peak that bounds the operator.

    Bytes are those of operands and results, each once; products those of the direct convolution.
    """
    n, c, h, w = case.shape
    unit = n * c * h * w * case.dtype.itemsize
    seconds = row["native_ms"] / 1e3
    flops, size = _flops(case), float(sides(case)[2])
    if direction == "backward":
        flops *= 2 if case.op == "modulated_conv2d" else 1
        size = float(unit * _BACKWARD_MAPS[case.op]) if case.op in _BACKWARD_MAPS else size
    precision = "fp32" if case.dtype == torch.float32 else "bf16"
    found = {
        "gb_per_s": round(size / seconds / 1e9, 2),
        "gflop_per_s": round(flops / seconds / 1e9, 2),
        "flop_per_byte": round(flops / size, 3),
    }
    bandwidth, products = peak["copy_gb_per_s"], peak[f"matmul_{precision}_gflop_per_s"]
    roof = min(products, bandwidth * found["flop_per_byte"])
    return found | {"of_peak": round(found["gflop_per_s"] / roof, 3)}


def _flops(case: Case) -> float:
    """Additions and multiplications, forward."""
    n, c, h, w = case.shape
    elements = n * c * h * w
    if case.op == "modulated_conv2d":
        # γ and β from 64 channels, then the convolution itself.
        return 2.0 * n * h * w * 9 * c * (2 * 64 + c)
    taps = {"blur": 32.0, "up": 32.0, "down": 8.0}
    return elements * {"bias_act": 3.0, "modulate": 7.0, "blend": 3.0}.get(
        case.op, taps.get(case.option, 1.0)
    )


def backwards(case: Case) -> tuple[Run, Run]:
    """All gradients of a result, given one of it."""
    runs = []
    for side in (0, 1):
        leaves: list[Tensor] = []
        native, definition, _ = sides(case, leaves)
        result = (native, definition)[side]()
        grad = torch.ones_like(result)
        runs.append(
            lambda y=result, xs=leaves, g=grad: torch.autograd.grad(
                y, xs, g, retain_graph=True, allow_unused=True
            )[0]
        )
    return runs[0], runs[1]


def _timed(native: Run, reference: Run, clock: Clock, seconds: float) -> dict[str, Any]:
    sides_in_turns = {"native": lambda _: native(), "reference": lambda _: reference()}
    return interleave(sides_in_turns, Budget(seconds, 4, 100), clock)
