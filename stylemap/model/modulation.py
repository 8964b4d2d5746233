"""Spatially varying modulated convolution (docs/network.md section 5).

A stylecode gives every position of the feature map its own scale γ and offset β:
y = norm(x)·γ + β. There is no demodulation, and the convolution weight is the same for every sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylemap import ops
from stylemap.model.layers import BiasLeakyReLU, Blur, EqualConv2d, normal_parameter


class ModulatedConv2d(nn.Module):
    """norm(x)·γ(style) + β(style), then a k×k convolution, or a transposed 3×3 one and the blur (``up``).

    x N×in×H×W and style N×style_channels×H×W give N×out×H×W, or N×out×2H×2W when ``up``. In checkpoints
    the bias of the activation that follows belongs to StyledConv; here one operator computes both.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        style_channels: int,
        normalize_mode: str = "LayerNorm",
        up: bool = False,
    ) -> None:
        super().__init__()
        self.weight = normal_parameter(1, out_channels, in_channels, size, size)
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.blur = Blur((1, 1), gain=4) if up else None
        self.normalize_mode = normalize_mode
        # The four norms have no parameters; only BatchNorm2d has a state, kept under `norm`.
        self.norm = nn.BatchNorm2d(in_channels, affine=False) if normalize_mode == "BatchNorm2d" else None
        self.gamma = EqualConv2d(style_channels, in_channels, 3, padding=1, bias=True)
        self.beta = EqualConv2d(style_channels, in_channels, 3, padding=1, bias=True)
        assert self.gamma.bias is not None
        nn.init.ones_(self.gamma.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModulatedConv2d:
        # Module.to(memory_format=torch.channels_last) refuses the 1×out×in×k×k of the checkpoints.
        def without_leading_axis(tensor: Tensor) -> Tensor:
            return fn(tensor[0]).unsqueeze(0) if tensor.ndim == 5 else fn(tensor)

        apply: Callable[..., ModulatedConv2d] = super()._apply
        return apply(without_leading_axis, recurse)

    def forward(self, x: Tensor, style: Tensor, bias: Tensor) -> Tensor:
        """N×out×H×W, or N×out×2H×2W when ``up``.

        Args:
            x: N×in×H×W.
            style: N×style_channels×H×W.
            bias: of the activation that follows, one value per output channel.
        """
        gamma, beta = self.gamma, self.beta
        assert gamma.bias is not None
        assert beta.bias is not None
        running_mean, running_var = self._running_statistics(x)
        return ops.modulated_conv2d(
            x,
            style,
            self.weight[0] * self.scale,
            bias,
            gamma.weight * gamma.scale,
            gamma.bias,
            beta.weight * beta.scale,
            beta.bias,
            filter=None if self.blur is None else self.blur.kernel,
            normalize=self.normalize_mode,
            running_mean=running_mean,
            running_var=running_var,
        )

    def _running_statistics(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The statistics that replace those of x: BatchNorm2d's in evaluation. Training updates them."""
        if self.norm is None:
            return None, None
        if not self.training:
            return self.norm.running_mean, self.norm.running_var
        _update_running_statistics(self.norm, x.detach())
        return None, None


@torch.no_grad()
def _update_running_statistics(norm: nn.BatchNorm2d, x: Tensor) -> None:
    """As nn.BatchNorm2d does: exponential averages of the mean and the unbiased variance over N, H, W."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    mean, var = ops.moments(x, "BatchNorm2d")
    count = x.shape[0] * x.shape[2] * x.shape[3]
    unbiased = var * (count / max(count - 1, 1))
    norm.running_mean.lerp_(mean.flatten().to(norm.running_mean.dtype), norm.momentum)
    norm.running_var.lerp_(unbiased.flatten().to(norm.running_var.dtype), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


class StyledConv(nn.Module):
    """ModulatedConv2d and its bias and leaky ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        style_channels: int,
        normalize_mode: str = "LayerNorm",
        up: bool = False,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, size, style_channels, normalize_mode, up)
        self.activate = BiasLeakyReLU(out_channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """The same shapes, with the bias of this layer's activation."""
        out: Tensor = self.conv(x, style, self.activate.bias)
        return out
