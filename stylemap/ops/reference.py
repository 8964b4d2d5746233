"""The definition of every operator, in plain PyTorch.

Tests and benchmarks compare the native kernels with these functions, and
``stylemap.ops.backend("reference")`` makes the whole package run on them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NORMALIZE_MODES = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")
GROUP_NORM_GROUPS = 8


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    negative_slope: float = 0.2,
    gain: float = math.sqrt(2.0),
) -> Tensor:
    """leaky_relu(x + bias[c]) * gain, the bias along dimension 1."""
    if bias is not None:
        x = x + bias.view(1, -1, *([1] * (x.ndim - 2)))
    return F.leaky_relu(x, negative_slope) * gain


def upfirdn2d(
    x: Tensor,
    filter: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    flip_filter: bool = False,
) -> Tensor:
    """Insert up-1 zeros after every sample, pad (left, right, top, bottom), convolve, keep every down-th.

    A negative padding crops. ``filter`` is kh x kw, or 1-D for the outer product with itself.
    True convolution; ``flip_filter=True`` correlates instead.
    """
    if filter.ndim == 1:
        filter = filter[:, None] * filter[None, :]
    n, c, h, w = x.shape
    if up > 1:
        x = x.reshape(n, c, h, 1, w, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, padding)
    kernel = filter if flip_filter else filter.flip((0, 1))
    kernel = kernel.to(x.dtype)[None, None]
    height, width = x.shape[2:]
    x = F.conv2d(x.reshape(n * c, 1, height, width), kernel)[:, :, ::down, ::down]
    return x.reshape(n, c, *x.shape[2:])


def moments(x: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the axes of a norm, broadcastable to x viewed by `group_view`."""
    dims = (0, 3, 4) if normalize == "BatchNorm2d" else (2, 3, 4)
    grouped = group_view(x, normalize)
    mean = grouped.mean(dims, keepdim=True)
    return mean, (grouped - mean).square().mean(dims, keepdim=True)


def group_view(x: Tensor, normalize: str) -> Tensor:
    """x as N x groups x C/groups x H x W: 1 group for LayerNorm, 8 for GroupNorm, C for the others."""
    n, c, h, w = x.shape
    groups = {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS}.get(normalize, c)
    return x.reshape(n, groups, c // groups, h, w)


def modulate(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    normalize: str = "LayerNorm",
    eps: float = 1e-5,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
) -> Tensor:
    """norm(x) * gamma + beta, element by element.

    With running statistics (``BatchNorm2d`` in evaluation) they replace the moments of x.
    """
    grouped = group_view(x, normalize)
    if running_mean is not None and running_var is not None:
        mean, var = running_mean.view(1, -1, 1, 1, 1), running_var.view(1, -1, 1, 1, 1)
    else:
        mean, var = moments(x, normalize)
    normalised = ((grouped - mean) * torch.rsqrt(var + eps)).reshape(x.shape)
    return normalised * gamma + beta


def modulated_conv2d(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    bias: Tensor,
    gamma_weight: Tensor,
    gamma_bias: Tensor,
    beta_weight: Tensor,
    beta_bias: Tensor,
    filter: Tensor | None = None,
    normalize: str = "LayerNorm",
    eps: float = 1e-5,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    negative_slope: float = 0.2,
    gain: float = math.sqrt(2.0),
) -> Tensor:
    """Spatially varying modulated convolution with its activation (docs/network.md section 5).

    gamma, beta = conv3x3(style); y = norm(x) * gamma + beta; then conv k x k with padding k // 2,
    or, when ``filter`` (the blur after an upsampling, gain 4 included) is given, a transposed conv
    3x3 of stride 2 and the blur with padding 1; then bias_act. ``weight`` is out x in x k x k in
    both cases and every weight is already scaled.
    """
    gamma = F.conv2d(style, gamma_weight, gamma_bias, padding=1)
    beta = F.conv2d(style, beta_weight, beta_bias, padding=1)
    y = modulate(x, gamma, beta, normalize, eps, running_mean, running_var)
    if filter is None:
        y = F.conv2d(y, weight, padding=weight.shape[-1] // 2)
    else:
        y = F.conv_transpose2d(y, weight.transpose(0, 1), stride=2)
        y = upfirdn2d(y, filter, padding=(1, 1, 1, 1))
    return bias_act(y, bias, negative_slope, gain)


def blend(
    code: Tensor,
    reference: Tensor,
    mask: Tensor,
    shift: tuple[int, int] = (0, 0),
    weight: Tensor | float = 1.0,
) -> Tensor:
    """Where the shifted mask is on: code + weight * (shifted reference - code); elsewhere code.

    ``shift`` is (dx, dy) in cells; ``mask`` (H x W or N x 1 x H x W, bool) and ``reference`` move
    together, and what leaves the frame is lost. ``weight`` is a number or one value per sample.
    Batches of size 1 broadcast.
    """
    dx, dy = shift
    mask = mask if mask.ndim == 4 else mask[None, None]
    on = shift_cells(mask.to(torch.bool), dx, dy)
    if isinstance(weight, Tensor):
        weight = weight.to(code.dtype).reshape(-1, 1, 1, 1)
    mixed = code + weight * (shift_cells(reference, dx, dy) - code)
    return torch.where(on, mixed, code)


def shift_cells(x: Tensor, dx: int, dy: int) -> Tensor:
    """x moved right by dx and down by dy, zeros moving in."""
    height, width = x.shape[-2:]
    if abs(dx) >= width or abs(dy) >= height:
        return torch.zeros_like(x)
    return F.pad(x, (dx, -dx, dy, -dy))
