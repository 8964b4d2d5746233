"""A perceptual distance without trained weights: contrast-normalised derivative features of an image pyramid.

Early vision responds to oriented contrast at several scales and divides each response by the activity around
it. Two images are close when these responses are close. The features are those of the normalised Laplacian
pyramid (Laparra et al., "Perceptual image quality assessment using a normalized Laplacian pyramid", 2016),
with first and second Gaussian derivatives instead of Laplacian bands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows: luminance and two opponent colours, scaled to comparable contrast in photographs.
_OPPONENT = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))


class FeatureDistance(nn.Module):
    """Distance between images N x 3 x H x W in [-1, 1]: N values >= 0, 0 for equal images.

    Differentiable in both arguments. Inputs in half precision are computed in float32.

    Args:
        levels: number of octaves; fewer are used where an image gets smaller than 8 pixels.
        stabiliser: contrast below which differences count as noise (the range of an image is 2).

    Raises:
        ValueError: fewer than 1 level, or a stabiliser that is not positive.
    """

    smooth: Tensor
    derivatives: Tensor
    opponent: Tensor

    def __init__(self, levels: int = 5, stabiliser: float = 0.05) -> None:
        super().__init__()
        if levels < 1 or stabiliser <= 0:
            raise ValueError(f"levels must be >= 1 and stabiliser > 0, got {levels} and {stabiliser}")
        self.levels = levels
        self.stabiliser = stabiliser
        smooth, first, second = torch.tensor(
            [[1.0, 4, 6, 4, 1], [-1, -2, 0, 2, 1], [1, 0, -2, 0, 1]], dtype=torch.float64
        )
        smooth, first, second = smooth / 16, first / 8, second / 4
        pairs = [(smooth, first), (first, smooth), (smooth, second), (second, smooth), (first, first)]
        filters = torch.stack([torch.outer(column, row) for column, row in pairs])
        self.register_buffer("smooth", torch.outer(smooth, smooth).float(), persistent=False)
        self.register_buffer("derivatives", filters.float(), persistent=False)
        self.register_buffer("opponent", torch.tensor(_OPPONENT), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """N distances of images N x 3 x H x W.

        Raises:
            ValueError: another shape, or two shapes.
        """
        if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"images must be N x 3 x H x W of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        pyramids = zip(self._pyramid(x), self._pyramid(y), strict=True)
        distances = [(a - b).abs().mean((1, 2, 3)) for a, b in pyramids]
        return torch.stack(distances).mean(0)

    def _pyramid(self, image: Tensor) -> list[Tensor]:
        """Normalised responses at every octave. Each image goes alone: a target needs no gradient."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        image = torch.einsum("oc,nchw->nohw", self.opponent.to(image.dtype), image)
        responses = [self._features(image)]
        while len(responses) < self.levels and min(image.shape[-2:]) >= 16:
            image = _filter(image, self.smooth[None])[:, :, ::2, ::2]
            responses.append(self._features(image))
        return responses

    def _features(self, x: Tensor) -> Tensor:
        responses = _filter(x, self.derivatives)
        energy = _filter(responses.square().sum(1, keepdim=True), self.smooth[None])
        return responses * torch.rsqrt(energy + self.stabiliser**2)


def _filter(x: Tensor, filters: Tensor) -> Tensor:
    """Every channel with every 5 x 5 filter: N x C x H x W to N x C * F x H x W, edges replicated.

    One dense convolution with zeros off the diagonal: convolutions with a single input channel are
    several times slower than one with three on CPUs.
    """
    channels = x.shape[1]
    weight = torch.einsum("io,fhw->ofihw", torch.eye(channels, device=x.device), filters).flatten(0, 1).to(x)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), weight)
