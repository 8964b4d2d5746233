"""How engines are built, checked against the packages and the GPU at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stylemap.export.package import Package, gpu, load
from stylemap.export.plugins import define
from stylemap.optional import how_to_install

# The compute capability that has a precision first.
_FIRST = {"fp32": 0.0, "fp16": 5.3, "bf16": 8.0, "fp8": 8.9}
_PLUGIN_PRECISIONS = ("fp16", "bf16")


@dataclass(frozen=True)
class EngineOptions:
    """How engines are built.

    package: "tensorrt", "tensorrt-rtx" or "auto".
    gpus: compute capabilities to build for ahead of time, as in 8.9; empty for the GPU at hand, or all
        that the package has where there is none (7.5 and the embedded 12.1 only on request).
    max_batch, best_batch: largest batch, and the one to be fastest at. max_references: of the editor.
    timing_cache: file that keeps measured tactics between builds; made where it is missing.
    version_compatible: runs on later versions of TensorRT too.
    weight_stripped: without the weights; loading takes them from the ONNX file beside the engine.
    plugins: some of `plugins.NAMES`, our kernels in place of TensorRT's; fp16 and bf16 only.
    """

    package: str = "auto"
    gpus: Sequence[str] = ()
    max_batch: int = 8
    best_batch: int = 1
    max_references: int = 8
    timing_cache: Path | None = None
    version_compatible: bool = False
    weight_stripped: bool = False
    plugins: Sequence[str] = ()


@dataclass(frozen=True)
class CheckedOptions:
    """Options that have been checked: package, and where its engines will run."""

    package: Package
    gpus: tuple[str, ...]
    gpu: str | None
    options: EngineOptions

    @property
    def ahead_of_time(self) -> bool:
        """Whether engines are for GPUs that are not there."""
        return self.gpu is None


def checked_options(options: EngineOptions) -> CheckedOptions:
    """Check options against the packages and the GPU at hand, before any work is done.

    Raises:
        ImportError: the package is missing.
        ValueError: batches that make no profile, a compute capability the package does not have, an
            unknown plugin.
        RuntimeError: something that takes a GPU, and there is none.
    """
    if not 1 <= options.best_batch <= options.max_batch:
        raise ValueError(f"best batch must be 1 to {options.max_batch}, got {options.best_batch}")
    if options.max_references < 1:
        raise ValueError(f"an editor needs at least 1 reference, got {options.max_references}")
    package, here = load(options.package), gpu()
    if options.plugins:
        _check_plugins(package, options)
    if not package.ahead_of_time:
        _check_full(options, here)
        assert here is not None
        return CheckedOptions(package, (here[1],), here[0], options)
    if options.timing_cache is not None:
        raise ValueError("TensorRT for RTX measures nothing when building: it has no timing cache")
    if options.weight_stripped and here is None:
        raise RuntimeError("TensorRT for RTX strips weights only where there is a GPU, and there is none")
    if options.gpus or here is None:
        return CheckedOptions(package, _ahead(package, options.gpus), None, options)
    if here[1] not in package.compute_capabilities():
        raise RuntimeError(_no_capability(package, here[1]))
    return CheckedOptions(package, (here[1],), here[0], options)


def _check_plugins(package: Package, options: EngineOptions) -> None:
    define.check(package, options.plugins)
    if options.weight_stripped:
        raise ValueError("an engine with plugins keeps its weights: they cannot be put into plugins later")


def _check_full(options: EngineOptions, here: tuple[str, str] | None) -> None:
    if here is None:
        raise RuntimeError(
            "the tensorrt package builds for the GPU at hand, and there is none; "
            f"tensorrt-rtx builds ahead of time: {how_to_install('tensorrt-rtx')}"
        )
    others = [capability for capability in options.gpus if capability != here[1]]
    if others:
        raise ValueError(
            f"the tensorrt package builds for the GPU at hand, of compute capability {here[1]}, "
            f"not for {', '.join(others)}"
        )


def _ahead(package: Package, wanted: Sequence[str]) -> tuple[str, ...]:
    existing = package.compute_capabilities()
    missing = [capability for capability in wanted if capability not in existing]
    if missing:
        raise ValueError(_no_capability(package, missing[0]))
    usual = [capability for capability in existing if capability not in ("7.5", "12.1")]
    return tuple(dict.fromkeys(wanted)) or tuple(usual)


def _no_capability(package: Package, capability: str) -> str:
    existing = ", ".join(package.compute_capabilities())
    return (
        f"{package.name} {package.version} does not build for compute capability {capability} "
        f"(it has {existing}); the tensorrt package does, on such a GPU"
    )


def for_precision(checked: CheckedOptions, precision: str) -> CheckedOptions:
    """The options, for the GPUs that have the precision; those not asked for by name are left out.

    Raises:
        ValueError: one that was asked for, or is at hand, does not have it, or the precision is unknown.
    """
    if precision not in _FIRST:
        raise ValueError(f"precision must be one of {', '.join(_FIRST)} for TensorRT, got {precision!r}")
    if checked.options.plugins and precision not in _PLUGIN_PRECISIONS:
        raise ValueError(f"plugins compute in {' or '.join(_PLUGIN_PRECISIONS)}, not in {precision}")
    able = tuple(gpu for gpu in checked.gpus if float(gpu) >= _FIRST[precision])
    if able != checked.gpus and (checked.options.gpus or not able or not checked.ahead_of_time):
        (missing, *_) = (gpu for gpu in checked.gpus if gpu not in able)
        raise ValueError(
            f"{precision} takes compute capability {_FIRST[precision]} or later, and {missing} is earlier"
        )
    return replace(checked, gpus=able)
