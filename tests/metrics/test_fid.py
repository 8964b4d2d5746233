"""Frechet distance against closed forms."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stylemap.metrics.fid import Gaussian, frechet_distance, gaussian, load_inception


def of(mean: list[float], covariance: Tensor) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=torch.float64), covariance.double())


def test_moments() -> None:
    features = torch.randn(70, 5, generator=torch.Generator().manual_seed(0)) + 1000
    found = gaussian(features.split(16))
    values = features.double().numpy()
    assert np.allclose(found.mean, values.mean(0))
    assert np.allclose(found.covariance, np.cov(values, rowvar=False), rtol=1e-9)


def test_equal_distributions() -> None:
    g = gaussian(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).split(10))
    assert frechet_distance(g, g) == pytest.approx(0, abs=1e-9)


def test_diagonal_covariances() -> None:
    """Then it is the squared distance of the means plus that of the standard deviations."""
    a, b = of([0, 0], torch.diag(torch.tensor([4.0, 9.0]))), of([1, 2], torch.diag(torch.tensor([1.0, 25.0])))
    assert frechet_distance(a, b) == pytest.approx(5 + (2 - 1) ** 2 + (3 - 5) ** 2)


def test_covariances_that_do_not_commute() -> None:
    """Against the root of the product itself, from its (not symmetric) eigendecomposition."""
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(2, 6, 6, generator=generator, dtype=torch.float64)
    a, b = (of([0.0] * 6, r @ r.T) for r in roots)
    eigenvalues = np.linalg.eigvals((a.covariance @ b.covariance).numpy())
    expected = float(a.covariance.trace() + b.covariance.trace()) - 2 * np.sqrt(eigenvalues).sum().real
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances() -> None:
    """Fewer images than features: the distance stays finite, symmetric and not negative."""
    generator = torch.Generator().manual_seed(0)
    a, b = (gaussian([torch.randn(5, 40, generator=generator)]) for _ in range(2))
    assert 0 < frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, a) < 1e-6 * float(a.covariance.trace())


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="got 1"):
        gaussian([torch.zeros(1, 4)])


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ImportError, match="torch-fidelity"):
        load_inception(tmp_path / "inception.pth")
