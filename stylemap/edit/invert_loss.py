"""What inversion minimises: a weighted sum of distances to one image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stylemap.perceptual import FeatureDistance

Perceptual = Callable[[Tensor, Tensor], Tensor]


class InversionLoss:
    """Distances of decoded images to ``image``, N x 3 x S x S in [-1, 1], one per image.

    l1: mean absolute difference. mse: mean squared difference. perceptual: a callable of both images.

    Raises:
        ValueError: a weight that is negative or not finite, or all of them 0.
    """

    def __init__(
        self,
        image: Tensor,
        l1_weight: float,
        pixel_weight: float,
        perceptual_weight: float,
        perceptual: Perceptual | None,
    ) -> None:
        weights = {"l1": l1_weight, "mse": pixel_weight, "perceptual": perceptual_weight}
        wrong = [weight for weight in weights.values() if weight < 0 or not math.isfinite(weight)]
        if wrong:
            raise ValueError(f"weights of losses must be finite and at least 0, got {wrong[0]}")
        if not any(weights.values()):
            raise ValueError("one weight of a loss must be above 0")
        self.image = image
        self.dtype = torch.promote_types(image.dtype, torch.float32)
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        if perceptual is None and "perceptual" in self._weights:
            perceptual = FeatureDistance().to(image.device)
        self._perceptual = perceptual

    @property
    def names(self) -> tuple[str, ...]:
        """The losses of a weight above 0."""
        return tuple(self._weights)

    def __call__(self, decoded: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, N values, and every loss without its weight."""
        terms = {name: self._term(name, decoded) for name in self._weights}
        total = torch.stack([weight * terms[name] for name, weight in self._weights.items()]).sum(0)
        return total, terms

    def _term(self, name: str, decoded: Tensor) -> Tensor:
        if name == "l1":
            return (decoded - self.image).abs().mean((1, 2, 3))
        if name == "mse":
            return (decoded - self.image).square().mean((1, 2, 3))
        assert self._perceptual is not None
        return self._perceptual(decoded, self.image.to(decoded.dtype)).reshape(len(self.image))
