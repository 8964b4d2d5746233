"""The plugins as TensorRT knows them: description, formats to choose from, kernels."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from stylemap.export.package import MODULES, Package, gpu
from stylemap.export.plugins import NAMES, NAMESPACE, recipes
from stylemap.export.plugins.ptx import compile_kernel
from stylemap.export.plugins.recipes import Recipe
from stylemap.ops.tiles import PLUGIN
from stylemap.optional import require

# Channels last, in groups of eight: how TensorRT's own convolutions in half precision have it.
_LAST = "HWC8"
_defined: set[str] = set()


def check(package: Package, names: Sequence[str]) -> None:
    """Whether these plugins can be put into engines of this package.

    Raises:
        ValueError: an unknown name.
        RuntimeError: the package has no such plugins.
        ImportError: Triton is missing.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no plugin {unknown[0]!r}: there are {', '.join(NAMES)}")
    module = f"{MODULES[package.name]}.plugin"
    missing = not hasattr(package.trt, "QuickPluginCreationRequest")
    if not missing:
        try:
            importlib.import_module(module)
        except ImportError:
            missing = True
    if missing:
        raise RuntimeError(
            f"{package.name} {package.version} takes no ahead-of-time plugins: "
            "the tensorrt package does, from 10.9 on"
        )
    require("triton", "plugins")


def define(package: Package) -> int:
    """Make the plugins known to TensorRT, once; returns the flag that a network with them is created with."""
    if package.name not in _defined:
        register(package.trt, importlib.import_module(f"{MODULES[package.name]}.plugin"))
        _defined.add(package.name)
    return 1 << int(package.trt.NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS)


def register(trt: Any, plugin: Any) -> None:
    """Register all of them with a ``tensorrt.plugin`` module."""
    kinds = {trt.DataType.FLOAT: "fp32", trt.DataType.HALF: "fp16", trt.DataType.BF16: "bf16"}
    _register_modulation(plugin, kinds)
    _register_blend(plugin, kinds)
    _register_ring(plugin, kinds)


def _register_modulation(plugin: Any, kinds: dict[Any, str]) -> None:
    identity = f"{NAMESPACE}::modulation"

    def describe(
        x: Any,
        style: Any,
        gamma_weight: Any,
        gamma_bias: Any,
        beta_weight: Any,
        beta_bias: Any,
        mean: Any,
        rstd: Any,
    ) -> Any:
        return x.like()

    def tune(
        x: Any,
        style: Any,
        gamma_weight: Any,
        gamma_bias: Any,
        beta_weight: Any,
        beta_bias: Any,
        mean: Any,
        rstd: Any,
        outputs: Any,
    ) -> Any:
        kind = kinds[x.dtype].upper()
        types = [kind] * 6 + ["FP32"] * 2 + [kind]
        layouts = [_LAST] * 2 + ["LINEAR"] * 6 + [_LAST]
        return [plugin.AutoTuneCombination(", ".join(types), ", ".join(layouts), list(PLUGIN))]

    def compiled(
        x: Any,
        style: Any,
        gamma_weight: Any,
        gamma_bias: Any,
        beta_weight: Any,
        beta_bias: Any,
        mean: Any,
        rstd: Any,
        outputs: Any,
        tactic: Any,
    ) -> Any:
        _, columns, height, width = x.shape
        # N×groups, or one for each channel that all samples share.
        groups = mean.shape[1] if len(mean.shape) == 2 else 0
        recipe = recipes.modulation(
            kinds[x.dtype], style.shape[1], columns, height, width, groups, tactic or min(PLUGIN)
        )
        return _launch(plugin, recipe, x.shape_expr[0], None)

    plugin.register(identity)(_typed(describe, plugin.TensorDesc))
    plugin.autotune(identity)(_untyped(tune))
    plugin.aot_impl(identity)(_returning(compiled, plugin))


def _register_blend(plugin: Any, kinds: dict[Any, str]) -> None:
    identity = f"{NAMESPACE}::blend"

    def describe(code: Any, laid: Any, coverage: Any, cells: Any, weights: Any) -> Any:
        return code.like()

    def tune(code: Any, laid: Any, coverage: Any, cells: Any, weights: Any, outputs: Any) -> Any:
        kind = kinds[code.dtype].upper()
        types = [kind, kind, "FP32", "INT32", "FP32", kind]
        return [plugin.AutoTuneCombination(", ".join(types), "LINEAR")]

    def compiled(
        code: Any, laid: Any, coverage: Any, cells: Any, weights: Any, outputs: Any, tactic: Any
    ) -> Any:
        recipe = recipes.blend(kinds[code.dtype], code.shape[1], code.shape[2])
        return _launch(plugin, recipe, code.shape_expr[0], laid.shape_expr[1])

    plugin.register(identity)(_typed(describe, plugin.TensorDesc))
    plugin.autotune(identity)(_untyped(tune))
    plugin.aot_impl(identity)(_returning(compiled, plugin))


def _register_ring(plugin: Any, kinds: dict[Any, str]) -> None:
    identity = f"{NAMESPACE}::ring"

    def describe(
        code: Any,
        maps: Any,
        laid: Any,
        coverage: Any,
        cells: Any,
        weights: Any,
        border: Any,
        weight: Any,
        bias: Any,
    ) -> Any:
        return maps.like()

    def tune(
        code: Any,
        maps: Any,
        laid: Any,
        coverage: Any,
        cells: Any,
        weights: Any,
        border: Any,
        weight: Any,
        bias: Any,
        outputs: Any,
    ) -> Any:
        kind = kinds[maps.dtype].upper()
        types = [kind] * 3 + ["FP32", "INT32", "FP32", "FP32"] + [kind] * 3
        return [plugin.AutoTuneCombination(", ".join(types), "LINEAR")]

    def compiled(
        code: Any,
        maps: Any,
        laid: Any,
        coverage: Any,
        cells: Any,
        weights: Any,
        border: Any,
        weight: Any,
        bias: Any,
        outputs: Any,
        tactic: Any,
    ) -> Any:
        recipe = recipes.ring(kinds[maps.dtype], code.shape[1], maps.shape[1], maps.shape[2])
        return _launch(plugin, recipe, maps.shape_expr[0], laid.shape_expr[1])

    plugin.register(identity)(_typed(describe, plugin.TensorDesc))
    plugin.autotune(identity)(_untyped(tune))
    plugin.aot_impl(identity)(_returning(compiled, plugin))


def _launch(plugin: Any, recipe: Recipe, samples: Any, references: Any) -> tuple[str, str, Any, Any]:
    """Name, PTX, launch and integers of a kernel for the GPU at hand. samples, references: expressions."""
    here = gpu()
    if here is None:
        raise RuntimeError("plugins are compiled for the GPU at hand, and there is none")
    kernel = compile_kernel(recipe, int(here[1].replace(".", "")))
    launch = plugin.KernelLaunchParams()
    launch.grid_x, launch.grid_y = samples * recipe.grid[0], recipe.grid[1]
    launch.block_x, launch.shared_mem = kernel.threads, kernel.shared
    integers = [references if value is None else value for value in recipe.integers.values()]
    extra = plugin.SymIntExprs.from_tuple([plugin.SymInt32(value) for value in integers])
    return kernel.name, kernel.ptx, launch, extra


# TensorRT reads the kinds of arguments from annotations, whose classes come with the package.


def _typed(function: Callable[..., Any], tensor: type) -> Callable[..., Any]:
    names = inspect.signature(function).parameters
    function.__annotations__ = dict.fromkeys([*names, "return"], tensor)
    return function


def _untyped(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__annotations__ = {}
    return function


def _returning(function: Callable[..., Any], plugin: Any) -> Callable[..., Any]:
    function.__annotations__ = {"return": tuple[str, str, plugin.KernelLaunchParams, plugin.SymIntExprs]}
    return function
