"""Weights of convolutions as matrices, which Muon (Jordan et al. 2024) updates by orthogonal steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Against Adam's learning rate, with steps scaled to Adam's size. At 32 x 32, after 160 iterations of batch 4,
# the reconstruction error is 0.040 at 0.5, 0.025 at 2 and 0.022 at 4. At 8 the first 60 iterations of a
# trained 128 x 128 model only made it worse.
_RATE = 4.0


class Matrices:
    """Views out x (in k k) of the convolution weights among ``parameters``, under one optimiser."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._weights = [p for p in parameters if p.ndim >= 4 and p.shape[-4] > 1]
        self._views = [nn.Parameter(_matrix(p.detach(), like=p)) for p in self._weights]

    def optimiser(self, learning_rate: float) -> torch.optim.Muon:
        """learning_rate: of Adam on the same weights."""
        return torch.optim.Muon(
            self._views,
            lr=_RATE * learning_rate,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
            eps=1e-12,
        )

    def take_gradients(self) -> None:
        """Moves the weights' gradients to the matrices, so that no other optimiser uses them."""
        for weight, view in zip(self._weights, self._views, strict=True):
            view.grad = None if weight.grad is None else _matrix(weight.grad, like=weight)
            weight.grad = None


def _matrix(x: Tensor, like: Tensor) -> Tensor:
    """1 x out x in x k x k or out x in x k x k as out x (in k k), a view where x lies in memory as ``like``.

    The order within a row is that of ``like`` in memory.
    """
    if x.ndim == 5:
        return x[0].flatten(1)
    return x.flatten(1) if like.is_contiguous() else x.permute(0, 2, 3, 1).flatten(1)
