"""Weights as the CPU convolutions want them: one plain 3 x 3 convolution, packed.

An up convolution (transposed 3 x 3 of stride 2, then the blur) is four 3 x 3 convolutions of its
input, one per output phase; a down convolution (the blur, then 3 x 3 of stride 2) is one 3 x 3
convolution of the four phases of its input. Both hold to the last pixel at the borders: everything
outside is zero before and after. All folding happens in float64.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 32  # output channels the kernels compute together (kBlock in csrc/kernels/conv2d/kernels.h)
CHANNELS = 16  # input channels are padded to a multiple of this (kChannels); gammas and betas alternate by it


def round_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def pad_channels(weight: Tensor, outputs: int, inputs: int) -> Tensor:
    """O x I x 3 x 3 with zeros up to multiples of ``outputs`` and ``inputs``."""
    missing_outputs = round_up(weight.shape[0], outputs) - weight.shape[0]
    missing_inputs = round_up(weight.shape[1], inputs) - weight.shape[1]
    return F.pad(weight, (0, 0, 0, 0, 0, missing_inputs, 0, missing_outputs))


def plain_weight(weight: Tensor) -> Tensor:
    """O x I x 3 x 3 as it is, in float64 and padded."""
    return pad_channels(weight.double(), BLOCK, CHANNELS)


def pointwise_weight(weight: Tensor) -> Tensor:
    """O x I in float64 and padded."""
    return pad_channels(weight.double()[:, :, None, None], BLOCK, CHANNELS)[:, :, 0, 0].contiguous()


def up_weight(weight: Tensor, blur: Tensor) -> Tensor:
    """conv_transpose2d(x, weight, stride=2), then blur with padding 1, as four phases: 4 O x I x 3 x 3.

    ``weight`` is O x I x 3 x 3, ``blur`` 4 x 4 with its gain. Phase 2 py + px makes the outputs
    (2 y + py, 2 x + px).
    """
    padded = pad_channels(weight.double(), BLOCK, CHANNELS)
    # out[2a + p] = sum_m f[m] t[2a + p - 1 + m], t[2i + k] = w[k] x[i]: tap d = i - a has k = p - 1 + m - 2d
    phases = []
    for py in range(2):
        for px in range(2):
            phases.append(_fold(padded, blur, lambda d, m, p: p - 1 + m - 2 * d, py, px))
    return torch.cat(phases)


def down_weight(weight: Tensor, blur: Tensor) -> Tensor:
    """Blur with padding 2, then conv2d(x, weight, stride=2), on the input's four phases: O x 4 I x 3 x 3.

    ``weight`` is O x I x 3 x 3, ``blur`` 4 x 4. Phase 2 qy + qx holds the inputs (2 y + qy, 2 x + qx).
    """
    padded = pad_channels(weight.double(), BLOCK, CHANNELS)
    # out[a] = sum_k w[k] b[2a + k], b[i] = sum_m f[m] x[i - 2 + m]: x[2 (a + d) + q] has k = 2d + q + 2 - m
    phases = []
    for qy in range(2):
        for qx in range(2):
            phases.append(_fold(padded, blur, lambda d, m, q: 2 * d + q + 2 - m, qy, qx))
    return torch.cat(phases, dim=1)


def _fold(weight: Tensor, blur: Tensor, tap, phase_y: int, phase_x: int) -> Tensor:
    """sum over my, mx of blur[my, mx] weight[.., tap(dy, my), tap(dx, mx)] for dy, dx in -1, 0, 1."""
    correlate = blur.double().flip((0, 1))
    folding = torch.zeros(9, 9, dtype=torch.float64)
    for d in range(9):
        for m in range(16):
            ky, kx = tap(d // 3 - 1, m // 4, phase_y), tap(d % 3 - 1, m % 4, phase_x)
            if 0 <= ky < 3 and 0 <= kx < 3:
                folding[3 * ky + kx, d] += correlate[m // 4, m % 4]
    return (weight.flatten(2) @ folding).unflatten(2, (3, 3))


def modulation_weight(gamma: Tensor, beta: Tensor) -> Tensor:
    """Two convolutions C x I x 3 x 3 as one whose outputs alternate: 16 gammas, 16 betas, 16 gammas, ..."""
    gamma = pad_channels(gamma.double(), CHANNELS, CHANNELS)
    beta = pad_channels(beta.double(), CHANNELS, CHANNELS)
    runs = (gamma.unflatten(0, (-1, CHANNELS)), beta.unflatten(0, (-1, CHANNELS)))
    return torch.stack(runs, dim=1).flatten(0, 2)


def modulation_bias(gamma: Tensor, beta: Tensor) -> Tensor:
    """The biases of `modulation_weight`, float32."""
    missing = round_up(gamma.shape[0], CHANNELS) - gamma.shape[0]
    runs = [F.pad(bias.double(), (0, missing)).unflatten(0, (-1, CHANNELS)) for bias in (gamma, beta)]
    return torch.stack(runs, dim=1).flatten().float()


def plain_bias(bias: Tensor) -> Tensor:
    """A bias padded to whole blocks, float32."""
    return F.pad(bias.double(), (0, round_up(bias.shape[0], BLOCK) - bias.shape[0])).float()
