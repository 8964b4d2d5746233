"""What `gpu_ops` times: every operator at the sizes of the network, its rivals, and the work it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops
from stylemap.ops import passes, reference

Run = Callable[[], Any]


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
    """Tensors of one device, dtype and layout."""

    device: torch.device
    dtype: torch.dtype
    layout: torch.memory_format = torch.channels_last

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        values = (torch.randn(shape, device=self.device) * scale).to(self.dtype)
        return values.contiguous(memory_format=self.layout) if values.ndim == 4 else values

    def weight(self, out: int, channels: int, k: int) -> Tensor:
        return self(out, channels, k, k, scale=(channels * k * k) ** -0.5)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, fullgraph=True, dynamic=False)


def _size(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def memory_cases(make: Maker, n: int, c: int, size: int, *, rivals: bool) -> Iterator[Case]:
    """The operators that memory bounds, on one shape."""
    layout = "channels_last" if make.layout == torch.channels_last else "contiguous"
    text = f"{n}x{c}x{size}x{size} {str(make.dtype)[6:]} {layout}"
    x, gamma, beta = (make(n, c, size, size) for _ in range(3))
    bias, filter = make(c), passes.common.skip_filter(make.device) / 4
    unit, half = _size(x), make(n, c, size // 2, size // 2)

    def case(
        name: str, traffic: float, ours: Run, theirs: Callable[..., Any], *args: Any, **extra: Any
    ) -> Case:
        runs: dict[str, Run] = {"ours": ours, "eager": lambda: theirs(*args)}
        if rivals:
            function = compiled(theirs)
            runs["torch.compile"] = lambda: function(*args)
        wide = [a.float() if isinstance(a, Tensor) else a for a in args]
        expected = extra.pop("expected", lambda: theirs(*wide))
        return Case(f"{name} {text}", runs, int(traffic * unit), 0, make.dtype, 0.8, None, expected)

    yield case("bias_act", 2, lambda: ops.bias_act(x, bias), reference.bias_act, x, bias)
    stylemap = torch.ops.stylemap
    yield case(
        "bias_act_backward",
        3,
        lambda: stylemap.bias_act_backward(x, gamma, 0.2, 1.4),
        _bias_act_backward,
        x,
        gamma,
    )
    for name, up, down, traffic in (("blur", 1, 1, 2), ("up", 2, 1, 1.25), ("down", 1, 2, 1.25)):
        value, pad = half if up == 2 else x, (2, 1, 2, 1)
        ours = lambda v=value, u=up, d=down, p=pad: ops.upfirdn2d(v, filter, up=u, down=d, padding=p)  # noqa: E731
        yield case(f"upfirdn2d {name}", traffic, ours, reference.upfirdn2d, value, filter, up, down, pad)
    mean, var = ops.moments(x, "LayerNorm")
    rstd = torch.rsqrt(var + 1e-5)
    yield case("moments", 1, lambda: ops.moments(x, "LayerNorm")[0], _mean, x)
    # x is read for the statistics and again for the result; grad, x and gamma likewise.
    yield case("modulate", 5, lambda: ops.modulate(x, gamma, beta), reference.modulate, x, gamma, beta)
    backward = lambda: stylemap.modulate_backward(gamma, x, beta, mean, rstd, 1, False)[0]  # noqa: E731
    yield case("modulate_backward", 8, backward, _modulate_backward, gamma, x, beta)
    mask = torch.rand(n, 1, size, size, device=make.device) > 0.5
    shifted = lambda: ops.blend(x, gamma, mask, shift=(3, -2))  # noqa: E731
    yield case("blend", 3, shifted, reference.blend, x, gamma, mask, (3, -2))
    if layout == "channels_last":
        yield from _pass_cases(case, make, x, gamma, beta, bias, half, mean, rstd)


def _pass_cases(
    case: Callable[..., Case],
    make: Maker,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    bias: Tensor,
    half: Tensor,
    mean: Tensor,
    rstd: Tensor,
) -> Iterator[Case]:
    operands = (x, gamma, beta, mean, rstd)
    yield case("apply_modulation", 4, lambda: passes.apply_modulation(*operands), _apply, *operands)
    filter, pad = passes.common.skip_filter(make.device), (2, 1, 2, 1)
    blur = lambda: passes.blur_act(x, filter / 4, bias, padding=pad, next_norm="LayerNorm")  # noqa: E731
    yield case("blur_act + statistics", 2, blur, _blur_act, x, filter / 4, bias)
    add = lambda: passes.skip_add(x, half, next_norm="LayerNorm")  # noqa: E731
    yield case("skip_add + statistics", 2.25, add, _skip_add, x, half, filter)
    n, c, height, width = x.shape
    weight, offset = make(3, c, scale=c**-0.5), make(n, 8, height, width)[:, :3]
    color = weight[:, 0].clone()
    rgb = lambda: passes.modulated_rgb(x, gamma, offset, mean, rstd, weight, color)  # noqa: E731
    yield case("modulated_rgb", 2, rgb, _rgb, x, gamma, offset, mean, rstd, weight)


def convolution_cases(make: Maker, n: int, c: int, size: int) -> Iterator[Case]:
    """The convolutions, on one feature map: gamma and beta with the modulation, 3x3 with activation, up."""
    text = f"{n}x{c}x{size}x{size} {str(make.dtype)[6:]}"
    x, style = make(n, c, size, size), make(n, c, size, size)
    weights = [make.weight(c, c, 3), make(c), make.weight(c, c, 3), make(c)]
    mean, var = ops.moments(x, "LayerNorm")
    statistics = (mean, torch.rsqrt(var + 1e-5))
    flops = 2 * n * size * size * c * c * 9
    names = ["tensor_cores_128", "tensor_cores_64", "triton", "cudnn"]

    def runs(
        function: Callable[..., Any], *args: Any, only: list[str] = names, **options: Any
    ) -> dict[str, Run]:
        found: dict[str, Run] = {}
        for name in only:
            label = name if name == "cudnn" else f"ours: {name}"
            found[label] = partial(function, *args, implementation=name, **options)
        return found

    def case(name: str, candidates: dict[str, Run], expected: Run, work: int, **goal: Any) -> Case:
        return Case(f"{name} {text}", candidates, 0, work, make.dtype, expected=expected, **goal)

    yield case(
        "modulate_conv",
        runs(passes.modulate_conv, x, style, *weights, *statistics),
        lambda: _modulated(x, style, *weights),
        2 * flops,
        target=0.6,
    )
    expected = lambda: _conv_act(x, *weights[:2])  # noqa: E731
    plain = runs(passes.conv_act, x, *weights[:2])
    yield case("conv_act", plain, expected, flops, rival="cudnn")
    with_statistics = runs(passes.conv_act, x, *weights[:2], next_norm="LayerNorm")
    yield case("conv_act + statistics", with_statistics, expected, flops, rival="cudnn")
    wide = lambda: F.conv_transpose2d(x.float(), weights[0].float().transpose(0, 1), stride=2)  # noqa: E731
    up = runs(passes.transposed_conv, x, weights[0], only=[n for n in names if n != "triton"])
    yield case("transposed_conv", up, wide, flops, rival="cudnn")


def _mean(x: Tensor) -> Tensor:
    return reference.moments(x, "LayerNorm")[0].reshape(-1, 1)


def _bias_act_backward(grad: Tensor, y: Tensor) -> Tensor:
    return grad * torch.where(y > 0, 1.4, 0.2 * 1.4)


def _modulate_backward(grad: Tensor, x: Tensor, gamma: Tensor) -> Tensor:
    mean, var = (m.reshape(-1, 1, 1, 1) for m in reference.moments(x, "LayerNorm"))
    rstd = torch.rsqrt(var + 1e-5)
    xhat, u = (x - mean) * rstd, grad * gamma
    dims = (1, 2, 3)
    return rstd * (u - u.mean(dims, keepdim=True) - xhat * (u * xhat).mean(dims, keepdim=True))


def _apply(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    return (x - mean.reshape(-1, 1, 1, 1)) * rstd.reshape(-1, 1, 1, 1) * gamma + beta


def _blur_act(x: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
    return reference.bias_act(reference.upfirdn2d(x, filter, padding=(2, 1, 2, 1)), bias, 0.2, 1.0)


def _skip_add(x: Tensor, skip: Tensor, filter: Tensor) -> Tensor:
    return x + reference.upfirdn2d(skip, filter, up=2, padding=(2, 1, 2, 1))


def _rgb(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor) -> Tensor:
    y = (
        torch.einsum(
            "nchw,oc->nohw", _apply(x, gamma, torch.zeros_like(gamma), mean, rstd).to(x.dtype), weight
        )
        + beta
    )
    return reference.bias_act(y, weight[:, 0], 0.2, 1.0)


def _modulated(x: Tensor, style: Tensor, *weights: Tensor) -> Tensor:
    gamma_weight, gamma_bias, beta_weight, beta_bias = (w.float() for w in weights)
    gamma = F.conv2d(style.float(), gamma_weight, gamma_bias, padding=1)
    beta = F.conv2d(style.float(), beta_weight, beta_bias, padding=1)
    return reference.modulate(x.float(), gamma, beta)


def _conv_act(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return reference.bias_act(F.conv2d(x.float(), weight.float(), padding=1), bias.float(), 0.2, 1.0)
