"""The Triton kernels compile ahead of time for a GPU that is not there: warp-group products, no spills."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import needs

triton = needs.package("triton")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from stylemap.ops import tiles  # noqa: E402
from stylemap.ops.triton import kernels  # noqa: E402

CHANNELS = 128
CONV_POINTERS = ["x", "weight", "bias", "skip", "y"]
CONV_INTEGERS = ["height", "width", "out_height", "out_width", "columns", "row_tiles"]
MODULATE_POINTERS = ["x", "style", "gamma_weight", "gamma_bias", "beta_weight", "beta_bias", "y"]


def compile_for(arch: int, name: str, tile: tiles.Tile) -> Any:
    """The kernel for float16, LayerNorm, 128 channels and sizes in multiples of 16, as in the network."""
    sizes = {"BLOCK_M": tile.m, "BLOCK_N": tile.n, "BLOCK_K": tile.k, "CHANNELS": CHANNELS}
    if name == "conv_act":
        signature = dict.fromkeys(CONV_POINTERS, "*fp16") | dict.fromkeys(CONV_INTEGERS, "i32")
        signature |= {"partials": "*fp32", "negative_slope": "fp32", "gain": "fp32"}
        constants = sizes | {"KERNEL": 3, "STRIDE": 1, "PADDING": 1}
        constants |= {"HAS_BIAS": True, "SKIP_SCALE": 2, "HAS_PARTIALS": True}
    elif name == "transposed_conv":
        signature = dict.fromkeys(["x", "weight", "y"], "*fp16")
        signature |= dict.fromkeys(["height", "width", "columns", "row_tiles"], "i32")
        constants = sizes
    else:
        signature = dict.fromkeys(MODULATE_POINTERS, "*fp16") | {"mean": "*fp32", "rstd": "*fp32"}
        signature |= dict.fromkeys(["height", "width", "columns", "row_tiles"], "i32")
        constants = sizes | {"GROUPS": 1, "GROUP_CHANNELS": CHANNELS}
    function = getattr(kernels, name)
    order = {argument: i for i, argument in enumerate(function.arg_names)}
    signature = {a: signature.get(a, "constexpr") for a in function.arg_names}
    aligned = [
        a for a, kind in signature.items() if kind.startswith("*") or a in ("height", "width", "columns")
    ]
    source = ASTSource(
        function,
        signature,
        {(order[a],): value for a, value in constants.items()},
        {(order[a],): [["tt.divisibility", 16]] for a in aligned},
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def resources(compiled: Any, folder: Path, arch: int) -> tuple[int, int]:
    """Registers and spilled bytes."""
    assembler = get_ptxas(arch).path  # the one Triton itself uses for it
    text = folder / "kernel.ptx"
    text.write_text(compiled.asm["ptx"])
    name = f"sm_{arch}a" if arch >= 90 else f"sm_{arch}"
    command = [assembler, "-v", f"--gpu-name={name}", text, "-o", folder / "kernel.cubin"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", report)
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    assert registers is not None, report
    assert spills is not None, report
    return int(registers[1]), int(spills[1]) + int(spills[2])


@pytest.mark.parametrize("size", ["TRITON_LARGE", "TRITON_SMALL"])
@pytest.mark.parametrize("name", ["conv_act", "modulate_conv", "transposed_conv"])
def test_compiles_for_hopper(name: str, size: str, tmp_path: Path) -> None:
    compiled = compile_for(90, name, getattr(tiles, size))
    registers, spills = resources(compiled, tmp_path, 90)
    shared = compiled.metadata.shared
    print(f"\n{name} {size}: {registers} registers, {spills} bytes spilled, {shared} bytes shared")
    assert "wgmma.mma_async" in compiled.asm["ptx"]
    assert spills == 0
    assert shared <= 227 << 10


@pytest.mark.parametrize("name", ["conv_act", "modulate_conv", "transposed_conv"])
def test_compiles_for_ampere(name: str, tmp_path: Path) -> None:
    compiled = compile_for(80, name, tiles.TRITON_SMALL)
    _, spills = resources(compiled, tmp_path, 80)
    assert "mma.sync" in compiled.asm["ptx"]
    assert spills == 0
    assert compiled.metadata.shared <= 99 << 10
