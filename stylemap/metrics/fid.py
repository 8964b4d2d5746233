"""Frechet distance of two sets of features (Heusel et al. 2017)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylemap.metrics.weights import read_tensors
from stylemap.optional import require

Extractor = Callable[[Tensor], Tensor]
WHERE = (
    "the Inception weights FID is defined with, as torch-fidelity publishes them"
    " (weights-inception-2015-12-05-6726825d.pth,"
    " https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0)"
)


class Gaussian(NamedTuple):
    """Mean (D) and covariance (D x D) of feature vectors, float64."""

    mean: Tensor
    covariance: Tensor


def gaussian(features: Iterable[Tensor]) -> Gaussian:
    """Of batches N x D, in one pass over them.

    Sums are kept around the first vector, so that large offsets do not cost digits.

    Raises ValueError for fewer than two vectors.
    """
    count = 0
    centre = total = squares = torch.empty(0)
    for batch in features:
        batch = batch.detach().double().cpu()
        if count == 0:
            centre = batch[0]
            total, squares = torch.zeros_like(centre), centre.new_zeros(len(centre), len(centre))
        centred = batch - centre
        count += len(batch)
        total += centred.sum(0)
        squares += centred.T @ centred
    if count < 2:
        raise ValueError(f"a covariance needs at least two images, got {count}")
    offset = total / count
    return Gaussian(centre + offset, (squares - count * torch.outer(offset, offset)) / (count - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric A^(1/2) B A^(1/2), which
    stays real for singular covariances (fewer images than features).
    """
    root = _root(a.covariance)
    eigenvalues = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0)
    trace = a.covariance.trace() + b.covariance.trace() - 2 * eigenvalues.sqrt().sum()
    return max(0.0, float((a.mean - b.mean).square().sum() + trace))


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def load_inception(path: str | Path, device: torch.device | str = "cpu") -> Extractor:
    """Images N x 3 x H x W in [-1, 1] to the 2048 features of FID's Inception, through torch-fidelity.

    Raises ImportError without torch-fidelity, FileNotFoundError or ValueError for a wrong file.
    """
    network_class = _torch_fidelity()
    tensors = read_tensors(path, WHERE)
    try:
        with tempfile.TemporaryDirectory() as folder:
            # It unpickles the file it is given: one of plain tensors, whatever the user's is.
            plain = Path(folder, "inception.pth")
            torch.save(tensors, plain)
            network = network_class("inception", ["2048"], feature_extractor_weights_path=str(plain))
        network = network.to(device)
    except (RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not fit Inception ({reason}): expected {WHERE}") from error

    def extract(images: Tensor) -> Tensor:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        (features,) = network(pixels.to(device))
        return torch.as_tensor(features)

    return extract


def _torch_fidelity() -> Any:
    module = require(
        "torch_fidelity.feature_extractor_inceptionv3", "FID", name="torch-fidelity and torchvision"
    )
    return module.FeatureExtractorInceptionV3
