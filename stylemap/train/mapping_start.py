"""Start the mapping network where the encoder's stylemaps are, instead of at random."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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
    encoded = torch.cat([networks.encoder(part.to(device)).flatten(1).cpu() for part in images.split(_CHUNK)])
    components, centre = _principal(_before_activation(encoded.double()), config.model.latent_channel_size)
    *hidden, last = networks.generator.mapping_z
    assert isinstance(last, EqualLinear)
    z = torch.randn(
        _LATENTS, config.model.latent_channel_size, generator=torch.Generator().manual_seed(config.seed)
    ).to(device)
    for layer in hidden:
        z = layer(z)
    whiten, inner = _whitening(z.cpu().double())
    weight = components @ whiten
    last.weight.copy_(weight / last.scale)
    last.bias.copy_((centre - weight @ inner) / last.lr_mul)
    networks.g_ema.mapping_z.load_state_dict(networks.generator.mapping_z.state_dict())


def _before_activation(values: Tensor) -> Tensor:
    """Inverse of leaky_relu(x, 0.2) * sqrt(2)."""
    values = values / _GAIN
    return torch.where(values < 0, values / _SLOPE, values)


def _principal(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` principal directions, each times its standard deviation (D x count); the mean."""
    centre = values.mean(0)
    centred = (values - centre) / math.sqrt(len(values))
    # Through the N x N inner products: N is smaller than D = K * L * L.
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    directions = centred.T @ vectors[:, -count:]
    if directions.shape[1] < count:
        directions = torch.nn.functional.pad(directions, (0, count - directions.shape[1]))
    return directions, centre


def _whitening(values: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric matrix that gives N x D values covariance 1, and their mean."""
    centre = values.mean(0)
    variances, vectors = torch.linalg.eigh((values - centre).T @ (values - centre) / len(values))
    scale = variances.clamp(min=float(variances[-1]) * 1e-8).rsqrt()
    return vectors * scale @ vectors.T, centre
