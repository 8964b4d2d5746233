"""Start the mapping network where the encoder's stylemaps are, instead of at random."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stylemap.model.layers import EqualLinear
from stylemap.train.config import TrainConfig
from stylemap.train.networks import Networks

_SLOPE, _GAIN = 0.2, math.sqrt(2.0)
_CHUNK = 64
_LATENTS = 8192


@torch.no_grad()
def fit_mapping(networks: Networks, images: Tensor, config: TrainConfig) -> None:
    """Sets the last mapping layer so that G's stylemaps get the mean and the main directions of E's.

    Encoder and mapping network both end in an invertible activation. Before it, the last layer becomes
    mean + principal components of the encoder's values, as many as the layer has inputs and each with its
    standard deviation, applied to the whitened activations of the layer before. Later steps move it on.

    images: N x 3 x S x S in [-1, 1], a few thousand.
    """
    device = networks.g_ema.decoder.input.input.device
    encoded = encode(networks.encoder, images, device).flatten(1)
    count = config.model.latent_channel_size
    components, centre = principal(before_activation(encoded.double()), count, config.seed)
    *hidden, last = networks.generator.mapping_z
    assert isinstance(last, EqualLinear)
    z = torch.randn(
        _LATENTS, config.model.latent_channel_size, generator=torch.Generator().manual_seed(config.seed)
    ).to(device)
    for layer in hidden:
        z = layer(z)
    whiten, inner = whitening(z.cpu().double())
    weight = components @ whiten
    last_layer(last, weight, centre - weight @ inner)
    networks.g_ema.mapping_z.load_state_dict(networks.generator.mapping_z.state_dict())


@torch.no_grad()
def encode(encoder: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """Stylemaps N x K x L x L, on the CPU, of images N x 3 x S x S in [-1, 1]."""
    return torch.cat([encoder(part.to(device)).float().cpu() for part in images.split(_CHUNK)])


def last_layer(layer: EqualLinear, weight: Tensor, bias: Tensor) -> None:
    """Sets what a layer effectively multiplies with and adds before its activation."""
    layer.weight.copy_(weight / layer.scale)
    layer.bias.copy_(bias / layer.lr_mul)


def before_activation(values: Tensor) -> Tensor:
    """Inverse of leaky_relu(x, 0.2) * sqrt(2)."""
    values = values / _GAIN
    return torch.where(values < 0, values / _SLOPE, values)


def principal(values: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` principal directions of N x D values, and their mean.

    The directions are the columns of a D x count matrix, each times its standard deviation; zero where the
    values have fewer.
    """
    centre = values.mean(0)
    available = min(count, *values.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, lengths, directions = torch.svd_lowrank(
            values - centre, q=min(available + 16, *values.shape), niter=4
        )
    directions = directions[:, :available] * lengths[:available] / math.sqrt(len(values))
    return torch.nn.functional.pad(directions, (0, count - available)), centre


def whitening(values: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric matrix that gives N x D values covariance 1, and their mean."""
    centre = values.mean(0)
    variances, vectors = torch.linalg.eigh((values - centre).T @ (values - centre) / len(values))
    scale = variances.clamp(min=float(variances[-1]) * 1e-8).rsqrt()
    return vectors * scale @ vectors.T, centre
