"""Plugins as far as a machine without a GPU can tell: kernels, their compilation, their definitions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers import needs

onnx = needs.package("onnx")
needs.package("onnxruntime")
triton = needs.package("triton")
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402

from stylemap.export.plugins import define, recipes  # noqa: E402
from stylemap.export.plugins.ptx import compile_kernel, without_scratch  # noqa: E402
from stylemap.ops import tiles  # noqa: E402
from tests.export import fake_plugin  # noqa: E402
from tests.export.fake_plugin import Registry, TensorDesc  # noqa: E402

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# Shared memory that a block can have.
LIMIT = {80: 163 << 10, 86: 99 << 10, 90: 227 << 10, 120: 99 << 10}


def kernel_recipes(dtype: str) -> list[recipes.Recipe]:
    made = [recipes.modulation(dtype, 128, 128, 64, 64, 1, tactic) for tactic in tiles.PLUGIN]
    return [*made, recipes.blend(dtype, 128, 64), recipes.ring(dtype, 128, 256, 64)]


@pytest.mark.parametrize(("arch", "dtype"), [(80, "fp16"), (86, "bf16"), (90, "fp16"), (120, "bf16")])
def test_kernels_compile_ahead_of_time(arch: int, dtype: str, tmp_path: Path) -> None:
    for recipe in kernel_recipes(dtype):
        kernel = compile_kernel(recipe, arch)
        entry = kernel.ptx[kernel.ptx.index(".entry") :].split(")")[0]
        kinds = re.findall(r"\.param \.(u64|b64|u32|b32)", entry)
        wide = [kind.endswith("64") for kind in kinds]
        assert wide == [kind.startswith("*") for kind in recipe.arguments.values()]
        assert kernel.name in entry
        assert kernel.threads == 32 * recipe.warps
        assert kernel.shared <= LIMIT[arch]
        (target,) = re.findall(r"\.target (\w+)", kernel.ptx)
        assert target.startswith(f"sm_{arch}")
        (tmp_path / "x.ptx").write_text(kernel.ptx)
        command = [get_ptxas(arch).path, "-v", f"--gpu-name={target}", "x.ptx", "-o", "x.cubin"]
        report = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
        assert re.search(r"\b0 bytes spill stores, 0 bytes spill loads", report), report


def test_one_tactic_fits_into_what_every_launch_has() -> None:
    for arch in LIMIT:
        recipe = recipes.modulation("fp16", 128, 128, 64, 64, 1, min(tiles.PLUGIN))
        assert compile_kernel(recipe, arch).shared <= 48 << 10
        assert compile_kernel(recipes.ring("fp16", 128, 256, 64), arch).shared <= 48 << 10


def test_scratch_memory_is_refused() -> None:
    entry = ".visible .entry k(\n\t.param .u64 k_param_0,\n\t.param .u64 k_param_1\n)\n{{ {} }}"
    kept = without_scratch(entry.format("ld.param.b64 %a, [k_param_0];"), "k", 1)
    assert "k_param_0" in kept
    assert "k_param_1" not in kept
    with pytest.raises(RuntimeError, match="kernel k wants scratch memory"):
        without_scratch(entry.format("ld.param.b64 %a, [k_param_1];"), "k", 1)
    with pytest.raises(RuntimeError, match="no kernel other"):
        without_scratch(entry, "other", 1)


@pytest.mark.parametrize(
    "interpret", ["1", pytest.param("0", marks=[pytest.mark.gpu, needs_gpu])], ids=["interpreted", "compiled"]
)
def test_launches(interpret: str) -> None:
    """In a process of its own: Triton reads the variable when it is imported."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/export/launched_plugins.py"]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TRITON_INTERPRET": interpret, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(define, "gpu", lambda: ("a GPU", "8.9"))
    made = Registry()
    define.register(fake_plugin.trt, made)
    return made


def modulation_inputs(dtype: torch.dtype, channels: int = 32) -> list[TensorDesc]:
    x, style = torch.empty(3, 24, 16, 16, dtype=dtype), torch.empty(3, channels, 16, 16, dtype=dtype)
    taps, bias = torch.empty(24, 9, channels, dtype=dtype), torch.empty(24, dtype=dtype)
    statistic = TensorDesc(torch.empty(3, 1), [0])
    weights = [TensorDesc(tensor) for tensor in (taps, bias, taps, bias)]
    return [TensorDesc(x, [0]), TensorDesc(style, [0]), *weights, statistic, statistic]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_description_of_modulation(dtype: torch.dtype, registry: Registry) -> None:
    descs = modulation_inputs(dtype)
    (choice,), output = registry.combinations("stylemap::modulation", descs)
    assert (output.dtype, output.shape) == (fake_plugin.KINDS[dtype], (-1, 24, 16, 16))
    # In a strongly typed network nothing else than what comes in.
    assert choice.types == [fake_plugin.NAMES[desc.dtype] for desc in [*descs, output]]
    assert choice.layouts == ["HWC8"] * 2 + ["LINEAR"] * 6 + ["HWC8"]
    assert choice.tactics == [1, 2, 3]
    for tactic in choice.tactics:
        name, ptx, launch, extra = registry.launch("stylemap::modulation", descs, tactic)
        rows, columns = tiles.PLUGIN[tactic][:2]
        assert f".visible .entry {name}(" in ptx
        assert (launch.grid_x, launch.grid_y) == (3 * (256 // rows), -(-24 // columns))
        assert launch.block_x == 32 * tiles.PLUGIN[tactic][3]
        assert list(extra) == [16, 16, 24, 256 // rows]


def test_description_of_blend(registry: Registry) -> None:
    tensors = {
        "code": (torch.empty(2, 24, 8, 8, dtype=torch.float16), [0]),
        "laid": (torch.empty(2, 5, 24, 8, 8, dtype=torch.float16), [0, 1]),
        "coverage": (torch.empty(2, 5, 8, 8), [0, 1]),
        "cells": (torch.empty(2, 5, 2, dtype=torch.int32), [0, 1]),
        "weights": (torch.empty(2), [0]),
    }
    descs = [TensorDesc(tensor, dynamic) for tensor, dynamic in tensors.values()]
    (choice,), output = registry.combinations("stylemap::blend", descs)
    assert output.shape == (-1, 24, 8, 8)
    assert choice.types == [fake_plugin.NAMES[desc.dtype] for desc in [*descs, output]]
    assert choice.layouts == ["LINEAR"]
    name, ptx, launch, extra = registry.launch("stylemap::blend", descs, 0)
    assert f".visible .entry {name}(" in ptx
    assert (launch.grid_x, launch.grid_y) == (2, 2)
    assert list(extra) == [24, 8, 1, 5]


def ring_inputs(dtype: torch.dtype, channels: int = 48) -> list[TensorDesc]:
    tensors = [
        (torch.empty(2, channels, 16, 16, dtype=dtype), [0]),
        (torch.empty(2, 70, 16, 16, dtype=dtype), [0]),
        (torch.empty(2, 5, 70, 16, 16, dtype=dtype), [0, 1]),
        (torch.empty(2, 5, 16, 16), [0, 1]),
        (torch.empty(2, 5, 2, dtype=torch.int32), [0, 1]),
        (torch.empty(2), [0]),
        (torch.empty(2, 1, 16, 16), [0]),
        (torch.empty(70, 9, channels, dtype=dtype), []),
        (torch.empty(70, dtype=dtype), []),
    ]
    return [TensorDesc(tensor, dynamic) for tensor, dynamic in tensors]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_description_of_ring(dtype: torch.dtype, registry: Registry) -> None:
    descs = ring_inputs(dtype)
    (choice,), output = registry.combinations("stylemap::ring", descs)
    assert (output.dtype, output.shape) == (fake_plugin.KINDS[dtype], (-1, 70, 16, 16))
    assert choice.types == [fake_plugin.NAMES[desc.dtype] for desc in [*descs, output]]
    assert choice.layouts == ["LINEAR"]
    name, ptx, launch, extra = registry.launch("stylemap::ring", descs, 0)
    assert f".visible .entry {name}(" in ptx
    assert (launch.grid_x, launch.grid_y) == (2 * 4, 2)
    assert list(extra) == [16, 70, 4, 5]


def test_shapes_that_have_no_kernel(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"ring takes stylecodes in multiples of 16 channels, not 24"):
        registry.launch("stylemap::ring", ring_inputs(torch.float16, 24), 0)
    with pytest.raises(ValueError, match="ring takes fp16 or bf16, not fp32"):
        registry.launch("stylemap::ring", ring_inputs(torch.float32), 0)
    with pytest.raises(ValueError, match=r"in multiples of 16 channels .* not 24 and 24"):
        registry.launch("stylemap::modulation", modulation_inputs(torch.float16, 24), 1)
    with pytest.raises(ValueError, match="takes fp16 or bf16, not fp32"):
        registry.launch("stylemap::modulation", modulation_inputs(torch.float32), 1)
