"""The losses of training, each a scalar in float32 (float64 for float64 input), before any weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Logits = Tensor | Sequence[Tensor]
"""Of one discriminator, or one tensor for each of its heads, which then count the same."""


def generator_adversarial(logits: Logits, kind: str = "logistic") -> Tensor:
    """The images behind ``logits`` shall be taken for real: softplus(-D).mean(), or hinge: -D.mean()."""
    return _over_heads(logits, lambda d: -d if kind == "hinge" else F.softplus(-d))


def discriminator_real(logits: Logits, kind: str = "logistic") -> Tensor:
    """softplus(-D(x)).mean(), or hinge: relu(1 - D(x)).mean()."""
    return _over_heads(logits, lambda d: F.relu(1 - d) if kind == "hinge" else F.softplus(-d))


def discriminator_fake(logits: Logits, kind: str = "logistic") -> Tensor:
    """softplus(D(G(.))).mean(), or hinge: relu(1 + D).mean()."""
    return _over_heads(logits, lambda d: F.relu(1 + d) if kind == "hinge" else F.softplus(d))


def _over_heads(logits: Logits, loss: Callable[[Tensor], Tensor]) -> Tensor:
    heads = [logits] if isinstance(logits, Tensor) else logits
    return torch.stack([loss(widen(head)).mean() for head in heads]).mean()


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """Mean over the batch of the squared norm of dD(x)/dx (Mescheder et al. 2018), differentiable again.

    ``logits`` N x 1 = D(images), with ``images.requires_grad``. The sum of the logits times zero keeps
    parameters that do not act on the gradient (the last bias) part of the graph, as distributed
    training wants every parameter to have one.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() + 0 * logits.sum()


def reconstruction(output: Tensor, target: Tensor, kind: str = "mse") -> Tensor:
    """Mean squared, or mean absolute, difference."""
    output, target = widen(output), widen(target)
    return F.l1_loss(output, target) if kind == "l1" else F.mse_loss(output, target)


def style(outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of Gram matrices, summed over maps N x C x H x W (Gatys et al. 2016)."""
    return torch.stack([F.mse_loss(gram(a), gram(b)) for a, b in zip(outputs, targets, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """N x C x C: inner products of the channels, over C·H·W."""
    n, c, h, w = features.shape
    flat = widen(features).reshape(n, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def widen(x: Tensor) -> Tensor:
    """At least float32: losses of half-precision networks are not taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
