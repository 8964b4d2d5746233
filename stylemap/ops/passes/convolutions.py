"""Passes around a convolution: tensor cores, Triton or cuDNN, whichever measures fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.ops import autotune, reference, tiles
from stylemap.ops._statistics import groups_of
from stylemap.ops.passes.common import (
    EPS,
    SLOPE,
    Result,
    check,
    groups_for,
    native,
    plain,
    skip_filter,
    with_statistics,
)
from stylemap.ops.passes.elementwise import apply_modulation, skip_add

T = TypeVar("T")

#: Layers that one launch takes: kMostGrouped of csrc/kernels/implicit_gemm.
MOST_GROUPED = 16


def _suits_tensor_cores(x: Tensor, weight: Tensor) -> bool:
    half = x.dtype in (torch.float16, torch.bfloat16)
    return half and x.shape[1] % 8 == 0 and weight.shape[0] % 8 == 0


def _by_tile(x: Tensor, weight: Tensor, function: Callable[[int], T]) -> dict[str, Callable[[], T]]:
    """Our kernel in each of its tiles; where it has none, the NotImplementedError that `autotune` skips."""

    def checked(tile: int) -> T:
        if not _suits_tensor_cores(x, weight):
            raise NotImplementedError(
                "the tensor-core convolutions take float16 or bfloat16 and channels in multiples of 8, "
                f"got {x.dtype}, {x.shape[1]} and {weight.shape[0]}"
            )
        return function(tile)

    return {f"tensor_cores_{tile}": partial(checked, tile) for tile in tiles.TENSOR_CORES}


def conv_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    skip: Tensor | None = None,
    stride: int = 1,
    padding: int | None = None,
    negative_slope: float = SLOPE,
    gain: float = 1.0,
    next_norm: str | None = None,
    eps: float = EPS,
    implementation: str = "auto",
) -> Result:
    """leaky_relu(conv(x, weight) + bias) * gain, plus the skip if there is one.

    Args:
        x: N x C x H x W.
        weight: out x C x k x k, k 1 or 3 (channels_last memory saves a copy).
        bias: out, or None.
        skip: as the result, or N x out x H/2 x W/2 of its H and W, upsampled by the network's blur.
        padding: k // 2 unless given.
        next_norm: the norm whose statistics are wanted, a name as in `modulate`, or None.
        implementation: "tensor_cores_128" or "_64" (tiles of our kernel), "triton", "cudnn", or "auto": the
            fastest of them, measured once (`autotune`), and plain PyTorch where there are none.

    Raises:
        RuntimeError: an implementation by name where there are no native passes.
    """
    padding = weight.shape[2] // 2 if padding is None else padding
    groups = groups_for(next_norm, weight.shape[0])
    check(x, weight=weight, bias=bias, skip=skip)
    inputs = (x, weight, bias, skip)
    if plain(x, implementation):
        y = F.conv2d(x, weight, None, stride, padding)
        y = reference.bias_act(y, bias, negative_slope, gain)
        if skip is not None and skip.shape == y.shape:
            y = y + skip
        elif skip is not None:
            y = y + reference.upfirdn2d(skip, skip_filter(x.device), up=2, padding=(2, 1, 2, 1))
        return with_statistics(y, next_norm, eps)
    rest: Any = (stride, padding, negative_slope, gain, groups, eps)

    def tensor_cores(tile: int) -> Result:
        return Result(*torch.ops.stylemap.conv_act(*inputs, *rest, tile))

    def cudnn() -> Result:
        y = F.conv2d(x, weight, None, stride, padding)
        y = torch.ops.stylemap.bias_act(y, bias, negative_slope, gain)
        if skip is None:
            return with_statistics(y, next_norm, eps)
        if skip.shape == y.shape:
            return with_statistics(y + skip, next_norm, eps)
        return skip_add(y, skip, next_norm=next_norm, eps=eps)

    def triton() -> Result:
        from stylemap.ops.triton import convolution

        return Result(*convolution.conv_act(*inputs, *rest))

    skip_size = None if skip is None else tuple(skip.shape[2:])
    key = (tuple(x.shape), tuple(weight.shape), skip_size, stride, padding, groups, x.dtype)
    candidates = {**_by_tile(x, weight, tensor_cores), "triton": triton, "cudnn": cudnn}
    return autotune.run("conv_act", key, x.device, candidates, implementation)


def modulate_conv(
    x: Tensor,
    style: Tensor,
    gamma_weight: Tensor,
    gamma_bias: Tensor,
    beta_weight: Tensor,
    beta_bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    *,
    normalize: str = "LayerNorm",
    implementation: str = "auto",
) -> Tensor:
    """(x - mean) * rstd * gamma + beta with gamma, beta = conv3x3(style), neither of them stored.

    Args:
        x: N x C x H x W; style: N x S x H x W; gamma_weight, beta_weight: C x S x 3 x 3; biases: C.
        mean, rstd: statistics of x for the norm ``normalize``, as `Result` has them.
        implementation: as for `conv_act`.
    """
    check(x, style=style, gamma_weight=gamma_weight, beta_weight=beta_weight)
    weights = (gamma_weight, gamma_bias, beta_weight, beta_bias)
    if plain(x, implementation):
        gamma = F.conv2d(style, gamma_weight, gamma_bias, padding=1)
        beta = F.conv2d(style, beta_weight, beta_bias, padding=1)
        return apply_modulation(x, gamma, beta, mean, rstd, normalize=normalize)
    groups = groups_of(normalize, x.shape[1])

    def tensor_cores(tile: int) -> Tensor:
        y: Tensor = torch.ops.stylemap.modulate_conv(x, style, *weights, mean, rstd, groups, tile)
        return y

    def cudnn() -> Tensor:
        weight, bias = whole(gamma_weight, beta_weight), whole(gamma_bias, beta_bias)
        if weight is not None and bias is not None:
            gamma, beta = F.conv2d(style, weight, bias, padding=1).chunk(2, dim=1)
        else:
            gamma = F.conv2d(style, gamma_weight, gamma_bias, padding=1)
            beta = F.conv2d(style, beta_weight, beta_bias, padding=1)
        return apply_modulation(x, gamma, beta, mean, rstd, normalize=normalize)

    def triton() -> Tensor:
        from stylemap.ops.triton import convolution

        y: Tensor = convolution.modulate_conv(x, style, *weights, mean, rstd, groups)
        return y

    key = (tuple(x.shape), tuple(gamma_weight.shape), groups, x.dtype)
    candidates = {**_by_tile(style, gamma_weight, tensor_cores), "triton": triton, "cudnn": cudnn}
    return autotune.run("modulate_conv", key, x.device, candidates, implementation)


def whole(first: Tensor, second: Tensor) -> Tensor | None:
    """The tensor whose two halves along the first axis these are, without a copy; None if there is none."""
    alike = first.shape == second.shape and first.stride() == second.stride()
    if not alike or first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr():
        return None
    if second.storage_offset() - first.storage_offset() != first.shape[0] * first.stride(0):
        return None
    shape = (2 * first.shape[0], *first.shape[1:])
    return first.as_strided(shape, first.stride(), first.storage_offset())


def transposed_conv(x: Tensor, weight: Tensor, *, implementation: str = "auto") -> Tensor:
    """Transposed convolution 3x3 of stride 2 without padding: N x C x H x W to N x out x 2H+1 x 2W+1.

    ``weight`` is out x C x 3 x 3. The tensor cores run its four phases as one kernel; few pixels are
    multiplied by all taps instead, and the products added by a second kernel.
    """
    check(x, weight=weight)

    def cudnn() -> Tensor:
        return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)

    def tensor_cores(tile: int) -> Tensor:
        y: Tensor = torch.ops.stylemap.transposed_conv(x, weight, tile)
        return y

    def triton() -> Tensor:
        from stylemap.ops.triton import convolution

        return convolution.transposed_conv(x, weight)

    if plain(x, implementation):
        return cudnn()
    key = (tuple(x.shape), tuple(weight.shape), x.dtype)
    candidates = {**_by_tile(x, weight, tensor_cores), "triton": triton, "cudnn": cudnn}
    return autotune.run("transposed_conv", key, x.device, candidates, implementation)


def conv_rows_(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
    """Recompute y = conv(x, weight) + bias in place, at the listed pixels only: the ring around a mask.

    Args:
        y: N x out x H x W, channels_last.
        rows: int32 indices into N x H x W; negative ones are skipped, so that a list can be padded to a
            fixed length for a CUDA graph.
    """
    check(x, y=y, weight=weight, bias=bias)
    if native(x) and _suits_tensor_cores(x, weight):
        torch.ops.stylemap.conv_rows_(y, x, weight, bias, rows)
        return y
    # A padded row does again what another one does, or where there is none, writes what is there.
    last = rows.max() if rows.numel() else rows
    index = torch.where(rows >= 0, rows, last).clamp_min(0).long()
    width, pixels = y.shape[3], y.shape[2] * y.shape[3]
    n, i, j = index // pixels, index % pixels // width, index % width
    target = y.permute(0, 2, 3, 1)
    values = _conv_at(x, weight, bias, n, i, j).to(y.dtype)
    target[n, i, j] = torch.where(last >= 0, values, target[n, i, j]) if rows.numel() else values
    return y


def conv_rows_group_(
    ys: Sequence[Tensor],
    xs: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    rows: Sequence[Tensor],
) -> None:
    """`conv_rows_` of several layers at once, in place: two launches on a GPU in place of one or two each.

    Args:
        ys, xs, weights, biases, rows: an operand of `conv_rows_` for every layer; no y may share memory
            with an x. At most 16 layers go together, in order.
    """
    layers = list(zip(ys, xs, weights, biases, rows, strict=True))
    for y, x, weight, bias, _ in layers:
        check(x, y=y, weight=weight, bias=bias)
    together = all(native(x) and _suits_tensor_cores(x, w) and b is not None for _, x, w, b, _ in layers)
    if not together or len({(x.dtype, x.device) for x in xs}) > 1:
        for layer in layers:
            conv_rows_(*layer)
        return
    for first in range(0, len(layers), MOST_GROUPED):
        operands = [list(each) for each in zip(*layers[first : first + MOST_GROUPED], strict=True)]
        torch.ops.stylemap.conv_rows_group_(*operands)


def _conv_at(x: Tensor, weight: Tensor, bias: Tensor | None, n: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """The convolution at pixels (i, j) of samples n: len(n) x out, without waiting for a GPU."""
    size = weight.shape[2]
    if 2 * len(n) > x.shape[0] * x.shape[2] * x.shape[3]:
        return F.conv2d(x, weight, bias, padding=size // 2).permute(0, 2, 3, 1)[n, i, j]
    padded = F.pad(x, (size // 2,) * 4).permute(0, 2, 3, 1)
    tap = torch.arange(size, device=x.device)
    lines, columns = i[:, None, None] + tap[:, None], j[:, None, None] + tap
    patches = padded[n[:, None, None], lines, columns].flatten(1)
    values = patches @ weight.permute(2, 3, 1, 0).flatten(0, 2)
    return values if bias is None else values + bias
