"""The CPU operators against their plain-PyTorch definitions and the machine's peaks, forward and backward.

Each case is checked before it is timed, and the two sides take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops
from stylemap.benchmarks.summary import paired_ratio, rounded
from stylemap.benchmarks.timing import Budget, Clock, compare
from stylemap.benchmarks.truth import relative_error
from stylemap.ops import reference

Run = Callable[[], Tensor]
#: Relative L2 error above which a case is not timed.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
_FACTORS = {"blur": (1, 1), "up": (2, 1), "down": (1, 2)}


@dataclass(frozen=True)
class Case:
    """One operator on one input. option: a normalisation of modulate, or blur, up or down of upfirdn2d."""

    op: str
    shape: tuple[int, int, int, int]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    option: str = ""

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        size = "x".join(map(str, self.shape))
        return " ".join(filter(None, (self.op, self.option, size, str(self.dtype)[6:], layout)))

    @property
    def bytes(self) -> int:
        """Of the operands and the result, each once; of feature maps alone."""
        up, down = _FACTORS.get(self.option, (1, 1))
        maps = {"bias_act": 2.0, "modulate": 4.0, "blend": 3.0, "modulated_conv2d": 2.0}
        unit = torch.Size(self.shape).numel() * self.dtype.itemsize
        return int(unit * maps.get(self.op, 1 + up**2 / down**2))

    @property
    def backward_bytes(self) -> int:
        """Of the maps that a backward pass reads and writes at least; that of upfirdn2d is upfirdn2d."""
        maps = {"bias_act": 3, "modulate": 5, "blend": 3}.get(self.op)
        return torch.Size(self.shape).numel() * self.dtype.itemsize * maps if maps else self.bytes

    @property
    def flops(self) -> float:
        """Additions and multiplications, forward."""
        n, c, h, w = self.shape
        if self.op == "modulated_conv2d":
            # γ and β from 64 channels, then the convolution itself.
            return 2.0 * n * h * w * 9 * c * (2 * 64 + c)
        each = {"bias_act": 3.0, "modulate": 7.0, "blend": 3.0, "blur": 32.0, "up": 32.0, "down": 8.0}
        return torch.Size(self.shape).numel() * each.get(self.op, each.get(self.option, 1.0))


def cases(quick: bool = False) -> Iterator[Case]:
    """Every operator in the sizes of a 256×256 decoder, channels last; quick: float32, large maps."""
    for dtype in (torch.float32,) if quick else (torch.float32, torch.bfloat16):
        for shape in ((1, 128, 256, 256), (1, 512, 32, 32))[: 1 if quick else 2]:
            yield Case("bias_act", shape, dtype, True)
            for option in ("blur", "down") if shape[2] == 256 else ("blur", "up", "down"):
                if not quick or option == "blur":
                    yield Case("upfirdn2d", shape, dtype, True, option)
            for norm in reference.NORMALIZE_MODES[: 1 if quick else None]:
                yield Case("modulate", shape, dtype, True, norm)
            yield Case("blend", shape, dtype, True)
        yield Case("modulated_conv2d", (1, 128, 64, 64), dtype, True)


def sides(
    case: Case, leaves: list[Tensor] | None = None, device: torch.device | None = None, wide: bool = False
) -> tuple[Run, Run]:
    """The native run and the reference run.

    leaves: receives the operands, which then have gradients. wide: the operands in float32, rounded to the
    case's dtype before.
    """
    n, c, h, w = case.shape
    generator, dtype = torch.Generator().manual_seed(0), torch.float32 if wide else case.dtype

    def tensor(*shape: int) -> Tensor:
        values = torch.randn(*shape, generator=generator).to(case.dtype).to(dtype).to(device)
        if case.channels_last and len(shape) == 4:
            values = values.contiguous(memory_format=torch.channels_last)
        if leaves is not None:
            leaves.append(values.requires_grad_())
        return values

    x = tensor(*case.shape)
    if case.op == "bias_act":
        bias = tensor(c)
        return lambda: ops.bias_act(x, bias), lambda: reference.bias_act(x, bias)
    if case.op == "upfirdn2d":
        up, down = _FACTORS[case.option]
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device) / 8
        filter, p = (taps[:, None] * taps[None, :] * up**2).to(dtype), (1 + up // 2, 1)
        return (
            lambda: ops.upfirdn2d(x, filter, up=up, down=down, padding=p),
            lambda: reference.upfirdn2d(x, filter, up, down, (*p, *p)),
        )
    if case.op == "modulate":
        gamma, beta = tensor(*case.shape), tensor(*case.shape)
        return (
            lambda: ops.modulate(x, gamma, beta, normalize=case.option),
            lambda: reference.modulate(x, gamma, beta, case.option),
        )
    if case.op == "blend":
        other = tensor(*case.shape)
        mask = (torch.rand(n, 1, h, w, generator=generator) > 0.5).to(device)
        return (
            lambda: ops.blend(x, other, mask, shift=(3, -2), weight=0.5),
            lambda: reference.blend(x, other, mask, (3, -2), 0.5),
        )
    style, s = tensor(n, 64, h, w), (c * 9) ** -0.5
    weights = [tensor(c, c, 3, 3) * s, tensor(c)]
    weights += [t for _ in "gb" for t in (tensor(c, 64, 3, 3) * 0.04, tensor(c))]
    return (
        lambda: ops.modulated_conv2d(x, style, *weights),
        lambda: reference.modulated_conv2d(x, style, *weights),
    )


def backwards(case: Case, device: torch.device | None = None, wide: bool = False) -> tuple[Run, Run]:
    """All gradients of a result, given one of it; the native run and the reference run."""

    def gradients(side: int) -> Run:
        leaves: list[Tensor] = []
        result = sides(case, leaves, device, wide)[side]()
        ones = torch.ones_like(result)
        return lambda: torch.autograd.grad(result, leaves, ones, retain_graph=True, allow_unused=True)[0]

    return gradients(0), gradients(1)


def measure(case: Case, direction: str, clock: Clock, budget: Budget) -> dict[str, Any]:
    """A row without rates; the times are the best of each side, the ratio is that of the rounds.

    Raises:
        ValueError: the native result is wrong.
    """
    forward = direction == "forward"
    with torch.set_grad_enabled(not forward):
        make = sides if forward else backwards
        native, definition = make(case)
        exact = make(case, wide=True)[1]()
        # In low precision the definition's own gradients are off by more than a result is.
        limit = max(TOLERANCE[case.dtype], 2 * relative_error(definition(), exact))
        if not (error := relative_error(native(), exact)) <= limit:
            raise ValueError(f"{case}, {direction}: relative error {error:.1e}; not timed")
        samples = compare({"native": native, "reference": definition}, clock, budget)
    ratio = paired_ratio(samples["reference"].by_round(), samples["native"].by_round())
    assert ratio is not None
    return {
        "op": case.op,
        "case": str(case),
        "direction": direction,
        **{f"{side}_ms": rounded(min(found.milliseconds)) for side, found in samples.items()},
        "ratio": rounded(ratio.value),
        "low": rounded(ratio.low),
        "high": rounded(ratio.high),
    }


def rates(row: dict[str, Any], case: Case, peak: dict[str, float]) -> dict[str, float]:
    """GB/s and GFLOP/s, and the share of the peak that bounds the operator (its roofline)."""
    seconds, flops, size = row["native_ms"] / 1e3, case.flops, case.bytes
    if row["direction"] == "backward":
        flops *= 2 if case.op == "modulated_conv2d" else 1
        size = case.backward_bytes
    products = peak[f"matmul_{'fp32' if case.dtype == torch.float32 else 'bf16'}_gflop_per_s"]
    roof = min(products, peak["copy_gb_per_s"] * flops / size)
    found = {"gb_per_s": size / seconds / 1e9, "gflop_per_s": flops / seconds / 1e9}
    return {name: rounded(value) for name, value in {**found, "of_peak": found["gflop_per_s"] / roof}.items()}


def peaks(clock: Clock, quick: bool) -> dict[str, float]:
    """GB/s of a copy, and GFLOP/s of the fastest product that PyTorch has in float32 and bfloat16."""
    source = torch.ones((64 if quick else 256) << 20, dtype=torch.uint8)
    target, side = torch.empty_like(source), 1024
    runs: dict[str, Run] = {"copy": lambda: target.copy_(source)}
    flops = {"matmul": 2.0 * side**3, "conv1": 2.0 * side**3, "conv3": 2.0 * 64**2 * 256**2 * 9}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
        image, features = (
            torch.randn(1, *shape).to(dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((side, 32, 32), (256, 64, 64))
        )
        one, three = torch.randn(side, side, 1, 1).to(dtype), torch.randn(256, 256, 3, 3).to(dtype)
        runs[f"matmul {name}"] = lambda a=a, b=b: a @ b  # type: ignore[misc]
        runs[f"conv1 {name}"] = lambda x=image, w=one: F.conv2d(x, w)  # type: ignore[misc]
        runs[f"conv3 {name}"] = lambda x=features, w=three: F.conv2d(x, w, padding=1)  # type: ignore[misc]
    with torch.no_grad():
        samples = compare(runs, clock, Budget(2.0 if quick else 6.0, 5, 60))
    best = {name: min(found.milliseconds) for name, found in samples.items()}
    found = {"copy_gb_per_s": rounded(2 * source.numel() / best["copy"] / 1e6)}
    for name in ("fp32", "bf16"):
        speed = max(flops[way] / best[f"{way} {name}"] / 1e6 for way in flops)
        found[f"matmul_{name}_gflop_per_s"] = rounded(speed)
    return found


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The parts "peaks" and "ops"."""
    if device.type != "cpu":
        raise RuntimeError("the operators on a GPU are timed by python -m stylemap.benchmarks.gpu")
    clock, budget = Clock(device), Budget(0.15 if quick else 0.7, 5, 100)
    peak, rows = peaks(clock, quick), []
    for case in cases(quick):
        for direction in ("forward", "backward"):
            row = measure(case, direction, clock, budget)
            rows.append(row | rates(row, case, peak))
    return {"peaks": peak, "ops": rows}
