"""What `operators` times on a GPU: every operator at the sizes of the network, its rivals, and its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops
from stylemap.benchmarks import operators
from stylemap.benchmarks.gpu import fused_cudnn
from stylemap.ops import passes, reference

Run = Callable[[], Any]
Statistics = tuple[Tensor, Tensor]  # mean and 1/deviation of LayerNorm


@dataclass(frozen=True)
class Case:
    """One operator on one input. ``runs``: the candidates; "ours" and "ours: ..." are this package's."""

    name: str
    runs: dict[str, Run]
    bytes: int = 0  # read once and written once
    flops: int = 0
    dtype: torch.dtype = torch.float16
    target: float | None = None  # fraction of the peak that the best of ours has to reach
    rival: str | None = None  # candidate that the best of ours must not be slower than
    expected: Run | None = field(default=None, repr=False)  # the result in float32


@dataclass(frozen=True)
class Maker:
    """Random tensors of one device and dtype, channels last."""

    device: torch.device
    dtype: torch.dtype

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        """N(0, scale²) of this shape."""
        values = (torch.randn(shape, device=self.device) * scale).to(self.dtype)
        return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values

    def text(self, *shape: int) -> str:
        """A shape and the dtype, as names of cases end."""
        return f"{'x'.join(map(str, shape))} {str(self.dtype)[6:]}"


def memory_cases(make: Maker, n: int, c: int, size: int, *, rivals: bool) -> Iterator[Case]:
    """The operators and passes that memory bounds, on one shape. rivals: torch.compile as well."""

    def case(name: str, size: int, ours: Run, theirs: Callable[..., Any], args: Sequence[Any]) -> Case:
        runs: dict[str, Run] = {"ours": ours, "eager": partial(theirs, *args)}
        if rivals:
            runs["torch.compile"] = partial(torch.compile(theirs, fullgraph=True, dynamic=False), *args)
        wide = [a.float() if isinstance(a, Tensor) else a for a in args]
        return Case(name, runs, size, 0, make.dtype, 0.8, None, partial(theirs, *wide))

    options = [("upfirdn2d", option) for option in ("blur", "up", "down")]
    for op, option in [("bias_act", ""), *options, ("modulate", "LayerNorm"), ("blend", "")]:
        side = size // 2 if option == "up" else size
        each = operators.Case(op, (n, c, side, side), make.dtype, True, option)
        ours, definition = operators.sides(each, device=make.device)
        _, expected = operators.sides(each, device=make.device, wide=True)
        yield replace(case(str(each), each.bytes, ours, definition, ()), expected=expected)
        if op in ("bias_act", "modulate"):
            with torch.enable_grad():
                ours, definition = operators.backwards(each, make.device)
                _, expected = operators.backwards(each, make.device, wide=True)
            runs = {"ours": ours, "eager": definition}
            yield Case(f"{each} backward", runs, each.backward_bytes, 0, make.dtype, 0.8, None, expected)
    x, gamma, beta = (make(n, c, size, size) for _ in range(3))
    text, unit, statistics = make.text(n, c, size, size), x.numel() * x.element_size(), _statistics(x)
    operands, filter = (x, gamma, beta, *statistics), passes.common.skip_filter(make.device) / 4
    moments = partial(ops.moments, x, "LayerNorm")
    yield case(f"moments {text}", unit, moments, _mean, (x,))
    apply = partial(passes.apply_modulation, *operands)
    yield case(f"apply_modulation {text}", 4 * unit, apply, _apply, operands)
    bias = make(c)
    blur = partial(passes.blur_act, x, filter, bias, padding=(2, 1, 2, 1), next_norm="LayerNorm")
    yield case(f"blur_act + statistics {text}", 2 * unit, blur, _blur_act, (x, filter, bias))
    weight, offset = make(3, c, scale=c**-0.5), make(n, 8, size, size)[:, :3]
    rgb = partial(passes.modulated_rgb, x, gamma, offset, *statistics, weight, weight[:, 0].clone())
    yield case(f"modulated_rgb {text}", 2 * unit, rgb, _rgb, (x, gamma, offset, *statistics, weight))


def convolution_cases(make: Maker, n: int, c: int, size: int) -> Iterator[Case]:
    """The convolutions, on one feature map: γ and β with the modulation, 3×3 with activation, up."""
    x, style = make(n, c, size, size), make(n, c, size, size)
    weights = [t for _ in "gb" for t in (make(c, c, 3, 3, scale=(c * 9) ** -0.5), make(c))]
    flops = 2 * n * size * size * c * c * 9
    names: tuple[str, ...] = ("tensor_cores_128", "tensor_cores_64", "triton", "cudnn")
    if make.device.type != "cuda":  # a rehearsal: no other implementation runs there
        names = ("auto",)

    def case(name: str, pass_: Callable[..., Any], expected: Run, args: Sequence[Any], **extra: Any) -> Case:
        options = extra.pop("options", {})
        work = extra.pop("work", flops)
        runs: dict[str, Run] = {}
        for each in names:
            label = each if each == "cudnn" else f"ours: {each}"
            runs[label] = partial(pass_, *args, implementation=each, **options)
        runs |= extra.pop("others", {})
        goal, text = extra or {"rival": "cudnn"}, make.text(n, c, size, size)
        return Case(f"{name} {text}", runs, 0, work, make.dtype, expected=expected, **goal)

    modulated = partial(_modulated, x, style, *weights)
    both = (x, style, *weights, *_statistics(x))
    yield case("modulate_conv", passes.modulate_conv, modulated, both, work=2 * flops, target=0.6)
    args = (x, *weights[:2])
    expected = partial(_conv_act, *args)
    fused = partial(fused_cudnn.conv_act, x, weights[0], weights[1], passes.common.SLOPE)
    others = {"cudnn-frontend": fused_cudnn.Late(fused)} if make.device.type == "cuda" else {}
    yield case("conv_act", passes.conv_act, expected, args, others=others)
    norm = {"next_norm": "LayerNorm"}
    yield case("conv_act + statistics", passes.conv_act, expected, args, options=norm)
    up = partial(F.conv_transpose2d, x.float(), weights[0].float().transpose(0, 1), stride=2)
    yield case("transposed_conv", passes.transposed_conv, up, (x, weights[0]))


def _statistics(x: Tensor) -> Statistics:
    mean, var = ops.moments(x, "LayerNorm")
    return mean, torch.rsqrt(var + 1e-5)


def _mean(x: Tensor) -> Tensor:
    return reference.moments(x, "LayerNorm")[0].reshape(-1, 1)


def _apply(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    return (x - mean.reshape(-1, 1, 1, 1)) * rstd.reshape(-1, 1, 1, 1) * gamma + beta


def _blur_act(x: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
    return reference.bias_act(reference.upfirdn2d(x, filter, padding=(2, 1, 2, 1)), bias, 0.2, 1.0)


def _rgb(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor) -> Tensor:
    normal = _apply(x, gamma, torch.zeros_like(gamma), mean, rstd).to(x.dtype)
    return reference.bias_act(torch.einsum("nchw,oc->nohw", normal, weight) + beta, weight[:, 0], 0.2, 1.0)


def _modulated(x: Tensor, style: Tensor, *weights: Tensor) -> Tensor:
    gamma_weight, gamma_bias, beta_weight, beta_bias = (w.float() for w in weights)
    gamma = F.conv2d(style.float(), gamma_weight, gamma_bias, padding=1)
    beta = F.conv2d(style.float(), beta_weight, beta_bias, padding=1)
    return reference.modulate(x.float(), gamma, beta)


def _conv_act(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return reference.bias_act(F.conv2d(x.float(), weight.float(), padding=1), bias.float(), 0.2, 1.0)
