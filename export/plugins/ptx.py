"""Kernels as PTX, compiled for a GPU that need not be there."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from stylemap.export.plugins.recipes import Recipe
from stylemap.optional import require

# What drivers of CUDA 12.8 and later read; the first with instructions for every GPU up to 12.x.
_PTX_VERSION = 87
_ENTRY = re.compile(r"(\.visible \.entry (\w+)\()([^)]*)(\))")


@dataclass(frozen=True)
class Kernel:
    """Assembly with what a launch has to say: threads and bytes of shared memory of a block."""

    name: str
    ptx: str
    threads: int
    shared: int


def compile_kernel(recipe: Recipe, arch: int) -> Kernel:
    """The kernel of a recipe for compute capability ``arch``, as in 89.

    Raises:
        ImportError: Triton is missing.
        RuntimeError: the kernel wants scratch memory, which TensorRT does not give.
    """
    require("triton", "plugins")
    # Sizes of a launch are no part of it: layers that differ in nothing else share one.
    return _compile(
        recipe.kernel,
        tuple(recipe.arguments.items()),
        tuple(recipe.constants.items()),
        recipe.aligned,
        recipe.warps,
        recipe.stages,
        arch,
    )


@functools.cache
def _compile(
    kernel: str,
    arguments: tuple[tuple[str, str], ...],
    constants: tuple[tuple[str, int], ...],
    aligned: tuple[str, ...],
    warps: int,
    stages: int,
    arch: int,
) -> Kernel:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from stylemap.export.plugins import kernels

    function = getattr(kernels, kernel)
    places = {name: place for place, name in enumerate(function.arg_names)}
    types = dict(arguments)
    source = ASTSource(
        function,
        {name: types.get(name, "constexpr") for name in function.arg_names},
        {(places[name],): value for name, value in constants},
        {(places[name],): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {
        "num_warps": warps,
        "num_stages": stages,
        "enable_fp_fusion": True,
        "ptx_version": _PTX_VERSION,
    }
    compiled: Any = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    name = compiled.metadata.name
    text = without_scratch(compiled.asm["ptx"], name, len(arguments))
    return Kernel(name, text, 32 * compiled.metadata.num_warps, compiled.metadata.shared)


def without_scratch(ptx: str, name: str, count: int) -> str:
    """PTX whose entry takes the first ``count`` parameters only.

    Triton adds pointers to scratch memory behind the arguments, used or not; TensorRT passes the arguments
    alone.

    Raises:
        RuntimeError: a parameter behind them is used.
    """
    entry = _ENTRY.search(ptx)
    if entry is None or entry[2] != name:
        raise RuntimeError(f"Triton compiled no kernel {name}")
    parameters = [line.strip() for line in entry[3].split(",")]
    body = ptx[entry.end() :]
    for parameter in parameters[count:]:
        if re.search(rf"\b{parameter.split()[-1]}\b", body):
            raise RuntimeError(f"kernel {name} wants scratch memory, which TensorRT does not give")
    kept = ",\n\t".join(parameters[:count])
    return f"{ptx[: entry.start()]}{entry[1]}\n\t{kept}\n{entry[4]}{body}"
