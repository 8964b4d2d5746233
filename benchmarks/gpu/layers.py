"""What every pass of a run of the GPU plan takes, beside what its arithmetic and its memory would."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from torch import Tensor
from torch.utils._pytree import tree_leaves

from stylemap import ops
from stylemap.benchmarks.tables import markdown
from stylemap.benchmarks.timing import Budget, Clock, captured, compare
from stylemap.ops import passes

_PASSES = (
    "apply_modulation",
    "blur_act",
    "conv_act",
    "conv_rows_group_",
    "modulate_conv",
    "modulated_rgb",
    "transposed_conv",
)


@dataclass(frozen=True)
class Call:
    """One call of a pass: how to repeat it, and its work."""

    name: str
    run: Callable[[], Any]
    flops: int
    bytes: int


@contextlib.contextmanager
def recorded() -> Iterator[list[Call]]:
    """The calls made inside."""
    calls: list[Call] = []
    with contextlib.ExitStack() as stack:
        for module, name in [(passes, name) for name in _PASSES] + [(ops, "upfirdn2d")]:
            original = getattr(module, name)
            stack.enter_context(mock.patch.object(module, name, _recording(name, original, calls)))
        yield calls


def profile(run: Callable[[], Any], clock: Clock, peak: dict[str, float]) -> list[dict[str, Any]]:
    """A row for every call: milliseconds, those of the roofline, and their ratio."""
    with recorded() as calls:
        run()
    rows = []
    for call in calls:
        ms = compare({"pass": captured(call.run, clock.device)}, clock, Budget(0.0, 9, 9))["pass"].median
        arithmetic = call.flops / peak["matmul_float16_tflops"] / 1e9
        memory = call.bytes / peak["copy_gbps"] / 1e6
        roofline = max(arithmetic, memory)
        rows.append(
            {
                "pass": call.name,
                "ms": ms,
                "roofline_ms": roofline,
                "fraction": roofline / ms if ms else 0.0,
                "bound": "arithmetic" if arithmetic > memory else "memory",
            }
        )
    return rows


def _recording(name: str, function: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        maps = [t for t in tree_leaves(args) if isinstance(t, Tensor) and t.ndim == 4]
        shapes = " ".join("×".join(map(str, t.shape)) for t in maps[:4])
        flops, size = _work(name, args, kwargs, result)
        calls.append(Call(f"{name} {shapes}", lambda: function(*args, **kwargs), flops, size))
        return result

    return call


def _work(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> tuple[int, int]:
    """Floating-point operations of the products, and bytes read and written once."""
    size = sum(_bytes(t) for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor))
    if name == "conv_act":
        return 2 * result.y.numel() * args[1][0].numel(), size
    if name == "modulate_conv":
        return 2 * 2 * args[0].numel() * args[2][0].numel(), size
    if name == "transposed_conv":
        return 2 * args[0].numel() * args[1][:, 0].numel(), size
    if name == "conv_rows_group_":
        works = [_ring_work(*layer) for layer in zip(*args, strict=True)]
        return sum(flops for flops, _ in works), sum(size for _, size in works)
    return 0, size


def _ring_work(y: Tensor, x: Tensor, weight: Tensor, _: Tensor, rows: Tensor) -> tuple[int, int]:
    count = int((rows >= 0).sum())
    # A ring is two cells wide: every row's nine inputs are about two that no other row has read.
    return 2 * count * weight.numel(), _bytes(weight) + count * (2 * x.shape[1] + y.shape[1]) * x.itemsize


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per pass, and the sums."""
    total, roofline = sum(row["ms"] for row in rows), sum(row["roofline_ms"] for row in rows)
    every = {"pass": "all", "ms": total, "roofline_ms": roofline, "fraction": roofline / max(total, 1e-9)}
    return markdown(
        ["pass", "ms", "roofline ms", "of roofline", "bound"],
        (
            [
                row["pass"],
                f"{row['ms']:.4f}",
                f"{row['roofline_ms']:.4f}",
                f"{row['fraction']:.0%}",
                row.get("bound", ""),
            ]
            for row in [*rows, *([every] if rows else [])]
        ),
    )
