"""The plugins' kernels launched as TensorRT would, interpreted or on a GPU: run by `test_plugins`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops
from stylemap.export.plugins import define, kernels, recipes
from stylemap.ops import reference, tiles
from tests.export import fake_plugin
from tests.export.fake_plugin import Registry, TensorDesc

ROUNDING = 1e-3  # relative: of float16
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def run(
    registry: Registry,
    name: str,
    inputs: Sequence[Tensor],
    tactic: int,
    dynamic: Sequence[Sequence[int]],
    like: int = 0,
) -> Tensor:
    """One launch with what the definition says: inputs, its integers, the output, ``like`` that input."""
    descs = [TensorDesc(value, axes) for value, axes in zip(inputs, dynamic)]
    kernel, recipe, launch, integers = registry.launch(f"stylemap::{name}", descs, tactic)
    y = torch.full_like(inputs[like], torch.nan)  # in the same layout
    grid = (launch.grid_x, launch.grid_y)
    options = {"num_warps": recipe.warps, "num_stages": recipe.stages}
    values = [int(value) for value in integers]
    getattr(kernels, kernel)[grid](*inputs, *values, y, **recipe.constants, **options)
    return y


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    def keep(recipe: recipes.Recipe, arch: int) -> Any:
        return SimpleNamespace(name=recipe.kernel, ptx=recipe, threads=128, shared=0)

    monkeypatch.setattr(define, "compile_kernel", keep)
    monkeypatch.setattr(define, "gpu", lambda: ("a GPU", "8.9"))
    made = Registry()
    define.register(fake_plugin.trt, made)
    return made


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).half().to(DEVICE)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert float((actual.float() - expected).norm() / expected.norm()) < ROUNDING


@pytest.mark.parametrize("tactic", tiles.PLUGIN)
@pytest.mark.parametrize("mode", ["LayerNorm", "GroupNorm", "InstanceNorm2d", None])
@pytest.mark.parametrize("shape", [(2, 8, 32, 5, 7), (1, 72, 48, 8, 8)], ids=str)
def test_modulation(shape: tuple[int, ...], mode: str | None, tactic: int, registry: Registry) -> None:
    n, columns, channels, height, width = shape
    x, style = last(random(n, columns, height, width)), last(random(n, channels, height, width, seed=1))
    weights = [0.1 * random(columns, channels, 3, 3, seed=seed) for seed in (2, 3)]
    biases = [random(columns, seed=seed) for seed in (4, 5)]
    groups = {"LayerNorm": 1, "GroupNorm": 8, "InstanceNorm2d": columns, None: 0}[mode]
    if mode is None:
        mean, rstd = torch.zeros(columns, device=DEVICE), torch.ones(columns, device=DEVICE)
        normal = x.float()
    else:
        mean, var = reference.moments(x.float(), mode)
        rstd = torch.rsqrt(var + 1e-5)
        normal = ((reference.group_view(x.float(), mode) - mean) * rstd).reshape(x.shape)
    taps = [weight.permute(0, 2, 3, 1).reshape(columns, 9, channels).contiguous() for weight in weights]
    per_sample = [value.reshape(-1, groups) if groups else value for value in (mean, rstd)]
    inputs = [x, style, taps[0], biases[0], taps[1], biases[1], *(value.contiguous() for value in per_sample)]
    dynamic = [[0], [0], [], [], [], [], *([[0] if groups else []] * 2)]
    y = run(registry, "modulation", inputs, tactic, dynamic)
    gamma, beta = (
        F.conv2d(style.float(), weight.float(), bias.float(), padding=1)
        for weight, bias in zip(weights, biases)
    )
    assert_close(y, normal * gamma + beta)


@pytest.mark.parametrize(
    ("samples", "references", "channels", "side"), [(1, 1, 16, 8), (2, 3, 20, 5), (1, 2, 40, 13)]
)
def test_blend(samples: int, references: int, channels: int, side: int, registry: Registry) -> None:
    """References over each other, moved beyond the frame, weights other than 1, cells half covered."""
    generator = torch.Generator().manual_seed(3)
    code = random(samples, channels, side, side)
    laid = random(samples, references, channels, side, side, seed=1)
    coverage = torch.randint(0, 5, (samples, references, side, side), generator=generator).to(DEVICE) / 4
    cells = torch.randint(-side - 1, side + 2, (samples, references, 2), generator=generator).to(DEVICE)
    weights = torch.linspace(1, 0.4, samples, device=DEVICE)
    dynamic = [[0], [0, 1], [0, 1], [0, 1], [0]]
    y = run(registry, "blend", [code, laid, coverage, cells.int(), weights], 0, dynamic)
    for n, expected in enumerate(laid_over(code, laid, coverage, cells, weights)):
        assert_close(y[n], expected)


def laid_over(code: Tensor, laid: Tensor, coverage: Tensor, cells: Tensor, weights: Tensor) -> list[Tensor]:
    """Each sample with its references over it."""
    results = []
    for n in range(len(code)):
        result = code[n : n + 1].float()
        for k in range(laid.shape[1]):
            shift = tuple(cells[n, k].tolist())
            mask = coverage[n, k][None, None] > 0.5
            result = ops.blend(result, laid[n, k][None].float(), mask, shift=shift, weight=float(weights[n]))
        results.append(result[0])
    return results


@pytest.mark.parametrize(
    ("samples", "references", "channels", "columns", "side"),
    [(1, 1, 16, 24, 8), (2, 2, 48, 70, 12), (1, 2, 32, 35, 24)],
)
def test_ring(
    samples: int, references: int, channels: int, columns: int, side: int, registry: Registry
) -> None:
    """Cells on the border are convolved, tiles without any are pasted; the rest of a tile may be either."""
    generator = torch.Generator().manual_seed(4)
    code, maps = random(samples, channels, side, side), random(samples, columns, side, side, seed=1)
    laid = random(samples, references, columns, side, side, seed=2)
    coverage = torch.randint(0, 5, (samples, references, side, side), generator=generator).to(DEVICE) / 4
    cells = torch.randint(-side // 2, side // 2, (samples, references, 2), generator=generator).to(DEVICE)
    weights = torch.linspace(1, 0.4, samples, device=DEVICE)
    border = torch.zeros(samples, 1, side, side, device=DEVICE)
    border[:, :, : side // 8, side // 3 :] = 0.4
    weight, bias = 0.1 * random(columns, channels, 3, 3, seed=3), random(columns, seed=5)
    taps = weight.permute(0, 2, 3, 1).reshape(columns, 9, channels).contiguous()
    inputs = [code, maps, laid, coverage, cells.int(), weights, border, taps, bias]
    dynamic = [[0], [0], [0, 1], [0, 1], [0, 1], [0], [0], [], []]
    y = run(registry, "ring", inputs, 0, dynamic, like=1)
    made = F.conv2d(code.float(), weight.float(), bias.float(), padding=1).flatten(2)
    rows = recipes.ring("fp16", channels, columns, side).constants["BLOCK_M"]
    for n, pasted in enumerate(laid_over(maps, laid, coverage, cells, weights)):
        tiles = border[n].flatten().split(rows)
        convolved = torch.cat([torch.full_like(tile, float(tile.max() > 0)) for tile in tiles]) > 0
        assert bool(convolved.any())
        assert bool(convolved.all()) == (side == 8)  # one tile
        assert_close(y[n].flatten(1), torch.where(convolved, made[n], pasted.flatten(1)))
