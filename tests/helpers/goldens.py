"""The golden cases: their configurations, arrays and models, each built once per test session or module.

The models are shared: a test that changes one (train mode, gradients, another dtype) copies it first.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylemap.config import Config
from stylemap.model import Discriminator, StyleMapGAN
from stylemap.model.recipe import recipe_discriminator, recipe_model

FOLDER = Path(__file__).parent.parent / "goldens"
CASES = ("full_32_8x8", "small_64_8x8", "instancenorm_32_8x8", "batchnorm_32_8x8")
# Cases that differ in what has no weights: the recipe gives them those of another, and takes seconds.
_SAME_WEIGHTS = {"instancenorm_32_8x8": "full_32_8x8", "batchnorm_32_8x8": "full_32_8x8"}
DTYPES = (torch.float32, torch.float64)


@functools.cache
def description(case: str) -> dict[str, Any]:
    """{"config": …, "state_dict": {part: {key: shape}}}"""
    values: dict[str, Any] = json.loads((FOLDER / f"{case}.json").read_text())
    return values


@functools.cache
def config(case: str) -> Config:
    values = dict(description(case)["config"])
    del values["name"]
    return Config.from_dict(values)


@functools.cache
def arrays(case: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(FOLDER / f"{case}.npz") as file:
        return dict(file)


def expected(case: str, name: str) -> Tensor:
    """One golden output, as stored."""
    return torch.from_numpy(arrays(case)[name])


def model(case: str, dtype: torch.dtype = torch.float32) -> StyleMapGAN:
    """Cases of the same weights share them in memory."""
    return (_wide_model if dtype == torch.float64 else _model)(case, dtype)


def discriminator(case: str, dtype: torch.dtype = torch.float32) -> Discriminator:
    return (_wide_discriminator if dtype == torch.float64 else _discriminator)(case, dtype)


def release() -> None:
    """Free the models in float64, of most of a GB. The end of a module frees all."""
    _wide_model.cache_clear()
    _wide_discriminator.cache_clear()


def _build_model(case: str, dtype: torch.dtype) -> StyleMapGAN:
    if case not in _SAME_WEIGHTS:
        return recipe_model(config(case), dtype)
    made = StyleMapGAN(config(case)).to(dtype)
    weights = model(_SAME_WEIGHTS[case], dtype).state_dict()
    left = made.load_state_dict(weights, strict=False, assign=True)
    assert not left.unexpected_keys
    assert all(".norm." in key for key in left.missing_keys)
    return made.eval().requires_grad_(False)


def _build_discriminator(case: str, dtype: torch.dtype) -> Discriminator:
    return recipe_discriminator(config(case), dtype)


_model, _wide_model = functools.cache(_build_model), functools.cache(_build_model)
_discriminator, _wide_discriminator = (
    functools.cache(_build_discriminator),
    functools.cache(_build_discriminator),
)


@functools.cache
def recipe() -> ModuleType:
    """goldens/recipe.py as delivered with the cases."""
    module = ModuleType("recipe")
    exec((FOLDER / "recipe.py").read_text(), module.__dict__)
    return module


def images(case: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """3×3×S×S in [-1, 1]"""
    return torch.from_numpy(recipe().images(config(case).size)).to(dtype)


def real(case: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """The training batch, 4×3×S×S"""
    return torch.from_numpy(recipe().real(config(case).size)).to(dtype)


def normal(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """ "z" (4, K), "z_mean" (64, K), "z_train" (4, K) or "direction" (K, L, L)"""
    return torch.from_numpy(recipe().normal(name, shape)).to(dtype)


def stylemaps(case: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """The three encoded images the edits start from, 3×K×L×L, as stored."""
    return expected(case, "encoder_w").to(dtype)


def shapes(module: nn.Module) -> dict[str, list[int]]:
    """{key: shape} of a state dict, as `description` has them."""
    return {key: list(tensor.shape) for key, tensor in module.state_dict().items()}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖ in float64. Shapes must be equal."""
    assert actual.shape == expected.shape
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / expected.norm())
