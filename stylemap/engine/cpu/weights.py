"""Weights as the CPU convolutions want them: float64, padded to whole blocks, γ and β in one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.engine.cpu.shapes import BLOCK, CHANNELS, round_up


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
