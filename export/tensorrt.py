"""TensorRT engines from ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from stylemap.export import ports
from stylemap.export.description import PREFIX, Description
from stylemap.export.engine_options import CheckedOptions, EngineOptions
from stylemap.export.package import Log, make_logger
from stylemap.export.plugins.define import define
from stylemap.export.sessions.base import one_line
from stylemap.export.sidecar import Sidecar, digest
from stylemap.export.suspects import suspects

Progress = Callable[[str], None]


def build_engine(
    path: Path, target: Path, checked: CheckedOptions, progress: Progress = lambda step: None
) -> Sidecar:
    """Build the engine of one ONNX file and write it to ``target``; the sidecar is returned, not written.

    Raises:
        ValueError: not an ONNX file of ours, or one with what TensorRT is known to compute wrongly.
        RuntimeError: TensorRT refuses the graph or the options; the message has its reason.
        OSError: the engine cannot be written.
    """
    description = _describe(path)
    trt, log = checked.package.trt, Log()
    builder = trt.Builder(make_logger(checked.package, log))
    flags = checked.package.strongly_typed()
    if checked.options.plugins:
        flags |= define(checked.package)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, builder.logger)
    if not parser.parse_from_file(str(path)):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT cannot parse {path}: {(reasons or [log.reason()])[0]}")
    _check_ports(network, description, path)
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, checked.options))
    _configure(config, trt, checked)
    cache = _timing_cache(config, checked.options)
    config.progress_monitor = _monitor(trt, lambda phase: progress(f"{description.graph}: {phase}"))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError(f"TensorRT cannot build {path}: {log.reason()}")
    target.write_bytes(engine)
    if cache is not None:
        cache.write_bytes(config.get_timing_cache().serialize())
    options = checked.options
    return Sidecar(
        description=description,
        engine=digest(target),
        onnx=digest(path),
        package=checked.package.name,
        version=checked.package.version,
        gpus=checked.gpus,
        gpu=checked.gpu,
        batches=(1, options.best_batch, options.max_batch),
        max_references=options.max_references if description.graph.endswith("editor") else 0,
        version_compatible=options.version_compatible,
        weight_stripped=options.weight_stripped,
        verified={"by": None, "reason": "no GPU that it runs on"},
        layers=log.fused,
    )


def _describe(path: Path) -> Description:
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not an ONNX file: {one_line(error)}") from error
    metadata = {item.key: item.value for item in model.metadata_props if item.key.startswith(PREFIX)}
    description = Description.from_metadata(metadata, str(path))
    if found := suspects(model):
        raise ValueError(f"{path} holds what TensorRT computes wrongly, export it again: {'; '.join(found)}")
    return description


def _check_ports(network: Any, description: Description, path: Path) -> None:
    """The network has the inputs and outputs of the graph, in number, name and shape."""
    config, graph = description.config, description.graph
    pairs = (
        ([network.get_input(i) for i in range(network.num_inputs)], ports.inputs(graph, config)),
        ([network.get_output(i) for i in range(network.num_outputs)], ports.outputs(graph, config)),
    )
    for tensors, expected in pairs:
        found = [(tensor.name, tuple(tensor.shape)) for tensor in tensors]
        wanted = [(port.name, _static(port.shape)) for port in expected]
        if found != wanted:
            raise RuntimeError(f"TensorRT reads {path} as {found}, but {graph} has {wanted}")


def _static(shape: Sequence[int | str]) -> tuple[int, ...]:
    """Dynamic dimensions as TensorRT has them, -1."""
    return tuple(-1 if isinstance(size, str) else size for size in shape)


def _profile(builder: Any, network: Any, options: EngineOptions) -> Any:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        names = [tensor.get_dimension_name(axis) for axis in range(len(tensor.shape))]
        shapes = []
        for batch, references in (
            (1, 1),
            (options.best_batch, 1),
            (options.max_batch, options.max_references),
        ):
            dynamic = {ports.BATCH: batch, ports.REFERENCES: references}
            shapes.append([dynamic.get(name, size) for name, size in zip(names, tensor.shape)])
        profile.set_shape(tensor.name, *shapes)
    return profile


def _configure(config: Any, trt: Any, checked: CheckedOptions) -> None:
    # The types of the graph decide; TF32 would make float32 ones less than float32.
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if checked.package.ahead_of_time:
        config.num_compute_capabilities = len(checked.gpus)
        for index, capability in enumerate(checked.gpus):
            config.set_compute_capability(checked.package.member(capability), index)
    if checked.options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if checked.package.ahead_of_time:
            config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)
    if checked.options.weight_stripped:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)


def _timing_cache(config: Any, options: EngineOptions) -> Path | None:
    path = options.timing_cache
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if not config.set_timing_cache(cache, False):
        raise ValueError(f"{path} is a timing cache of another GPU or version of TensorRT: remove it")
    return path


def _monitor(trt: Any, report: Callable[[str], None]) -> Any:
    """Reports the outermost phases of a build."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None or parent == "Building engine":
                report(name[0].lower() + name[1:])

        def phase_finish(self, name: str) -> None:
            pass

        def step_complete(self, name: str, step: int) -> bool:
            return True

    return Monitor()
