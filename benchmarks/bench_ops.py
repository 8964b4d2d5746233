"""The operators' CPU kernels against their plain-PyTorch definitions, in pairs.

    python -m stylemap.benchmarks.bench_ops [--quick] [--threads 2] [--output benchmarks/results/ops_cpu.json]
    python -m pytest benchmarks/pytest_ops.py --benchmark-only     (both sides, forward and backward)

Each case is checked for correctness first. The two sides run alternately, so that whatever else the
machine does hits both. Bandwidth counts every operand read once and the result written once; the peak to
compare with is that of a copy of the same tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import reference

Run = Callable[[], Tensor]

#: Relative L2 error beyond which a case is not timed.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@dataclass(frozen=True)
class Case:
    """One operator on one input."""

    op: str
    shape: tuple[int, int, int, int]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    option: str = ""

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        size = "x".join(map(str, self.shape))
        return " ".join(filter(None, (self.op, self.option, size, str(self.dtype)[6:], layout)))


@dataclass(frozen=True)
class Timing:
    """Seconds of both sides. ``native`` and ``reference`` are the best round's medians."""

    native: float
    reference: float
    native_spread: float  # median of the rounds' medians, over the best
    reference_spread: float

    @property
    def ratio(self) -> float:
        return self.reference / self.native


def paired(native: Run, definition: Run, *, rounds: int = 12, repeats: int = 3) -> Timing:
    """Run the two alternately: ``repeats`` pairs to a round's medians, the best of ``rounds`` rounds.

    The best round is the one the machine's other work disturbed least; a median in it needs more than
    one undisturbed run.
    """
    native(), definition()
    medians: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for side, run in enumerate((native, definition)):
                start = time.perf_counter()
                run()
                seconds[side].append(time.perf_counter() - start)
        for side in (0, 1):
            medians[side].append(statistics.median(seconds[side]))
    best = [min(m) for m in medians]
    spread = [statistics.median(m) / b for m, b in zip(medians, best)]
    return Timing(best[0], best[1], spread[0], spread[1])


def sides(case: Case, leaves: list[Tensor] | None = None) -> tuple[Run, Run, int]:
    """The native run, the reference run, and the bytes of operands and result.

    ``leaves``: receives the operands, which then have gradients.
    """
    n, c, h, w = case.shape
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> Tensor:
        values = torch.randn(*shape, generator=generator).to(case.dtype)
        if case.channels_last and len(shape) == 4:
            values = values.contiguous(memory_format=torch.channels_last)
        if leaves is not None:
            leaves.append(values.requires_grad_())
        return values

    x = tensor(*case.shape)
    if case.op == "bias_act":
        bias = tensor(c)
        return lambda: ops.bias_act(x, bias), lambda: reference.bias_act(x, bias), 2 * _bytes(x)
    if case.op == "upfirdn2d":
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        up, down = {"blur": (1, 1), "up": (2, 1), "down": (1, 2)}[case.option]
        filter, p = (taps[:, None] * taps[None, :] * up**2).to(case.dtype), (1 + up // 2, 1)
        four = (*p, *p)
        size = _bytes(x) + _bytes(x) * up**2 // down**2
        return (
            lambda: ops.upfirdn2d(x, filter, up=up, down=down, padding=p),
            lambda: reference.upfirdn2d(x, filter, up, down, four),
            size,
        )
    if case.op == "modulate":
        gamma, beta = tensor(*case.shape), tensor(*case.shape)
        return (
            lambda: ops.modulate(x, gamma, beta, normalize=case.option),
            lambda: reference.modulate(x, gamma, beta, case.option),
            4 * _bytes(x),
        )
    if case.op == "blend":
        other, mask = tensor(*case.shape), torch.rand(n, 1, h, w, generator=generator) > 0.5
        return (
            lambda: ops.blend(x, other, mask, shift=(3, -2), weight=0.5),
            lambda: reference.blend(x, other, mask, (3, -2), 0.5),
            3 * _bytes(x),
        )
    style, s = tensor(n, 64, h, w), (c * 9) ** -0.5
    weights = [tensor(c, c, 3, 3) * s, tensor(c)]
    weights += [t for _ in "gb" for t in (tensor(c, 64, 3, 3) * 0.04, tensor(c))]
    return (
        lambda: ops.modulated_conv2d(x, style, *weights),
        lambda: reference.modulated_conv2d(x, style, *weights),
        2 * _bytes(x),
    )


def cases() -> Iterator[Case]:
    """Every operator at the sizes of a 256 x 256 decoder, both dtypes and layouts."""
    for dtype in (torch.float32, torch.bfloat16):
        for last in (False, True):
            for shape in ((1, 128, 256, 256), (1, 512, 32, 32)):
                yield Case("bias_act", shape, dtype, last)
                for option in ("blur", "down") if shape[2] == 256 else ("blur", "up", "down"):
                    yield Case("upfirdn2d", shape, dtype, last, option)
                for norm in reference.NORMALIZE_MODES:
                    yield Case("modulate", shape, dtype, last, norm)
                yield Case("blend", shape, dtype, last)
            yield Case("modulated_conv2d", (1, 128, 64, 64), dtype, last)


def measure(case: Case, **options: Any) -> Timing:
    """Check a case, then time it."""
    native, definition, _ = sides(case)
    check(case, native(), definition())
    return paired(native, definition, **options)


def check(case: Case, actual: Tensor, expected: Tensor) -> None:
    error = float((actual.double() - expected.double()).norm() / expected.double().norm())
    if not error <= TOLERANCE[case.dtype]:
        raise AssertionError(f"{case}: relative error {error:.1e}; not timed")


def copy_seconds(size: int) -> float:
    """The least a kernel that moves ``size`` bytes can take: a copy of half of them to the other half."""
    source = torch.ones(size // 2, dtype=torch.uint8)
    target = torch.empty_like(source)

    def copy() -> Tensor:
        return target.copy_(source)

    return paired(copy, copy, rounds=3).native


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 12")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    with torch.inference_mode():
        for case in cases():
            size = sides(case)[2]
            timing = measure(case, rounds=3 if args.quick else 12)
            copy = copy_seconds(size)
            rows.append(
                {
                    "case": str(case),
                    "native_ms": round(timing.native * 1e3, 4),
                    "reference_ms": round(timing.reference * 1e3, 4),
                    "ratio": round(timing.ratio, 2),
                    "spread": [round(timing.native_spread, 2), round(timing.reference_spread, 2)],
                    "gb_per_s": round(size / timing.native / 1e9, 1),
                    "copy_gb_per_s": round(size / copy / 1e9, 1),
                }
            )
            row: dict[str, Any] = rows[-1]
            line = "{case:62} {native_ms:9.3f} {reference_ms:9.3f} ms {ratio:7.2f}x"
            print(line.format(**row), flush=True)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
