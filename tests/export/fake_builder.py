"""Stand-ins for the builders of TensorRT 10 and 11: an unknown name is an error, as in the package."""

from __future__ import annotations

import enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx


class _Network:
    def __init__(self, flags: int) -> None:
        self.flags, self.inputs, self.outputs = flags, [], []

    def read(self, graph: onnx.GraphProto) -> None:
        self.inputs, self.outputs = (
            [_Tensor(port) for port in ports] for ports in (graph.input, graph.output)
        )

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index: int) -> _Tensor:
        return self.inputs[index]

    def get_output(self, index: int) -> _Tensor:
        return self.outputs[index]


class _Tensor:
    def __init__(self, port: onnx.ValueInfoProto) -> None:
        self.name = port.name
        self._dims = port.type.tensor_type.shape.dim
        self.shape = tuple(-1 if dim.dim_param else dim.dim_value for dim in self._dims)

    def get_dimension_name(self, axis: int) -> str:
        return self._dims[axis].dim_param


class _Config:
    """Refuses flags that the version does not have."""

    def __init__(self) -> None:
        self.cleared: list[Any] = []
        self.profiling_verbosity = self.progress_monitor = None

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def clear_flag(self, flag: Any) -> None:
        self.cleared.append(flag)

    set_flag = clear_flag


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Any, ...]] = {}

    def set_shape(self, name: str, *shapes: Any) -> None:
        assert len(shapes) == 3
        self.shapes[name] = shapes


def tensorrt(version: str) -> Any:
    """A module of this version. ``networks``: those that were created, with their flags.

    Of 10, networks are weakly typed without the flag, and such a one is not built: the graph's types would
    not hold. 11 has no flag of precisions, and ignores or lacks STRONGLY_TYPED.
    """
    major = int(version.split(".")[0])
    creation = ["EXPLICIT_BATCH", "STRONGLY_TYPED", "PREFER_AOT_PYTHON_PLUGINS"]
    builder_flags = ["TF32", "REFIT", "VERSION_COMPATIBLE", "STRIP_PLAN", "REFIT_IDENTICAL"]
    if major >= 11:
        creation = ["PREFER_AOT_PYTHON_PLUGINS"]
    else:
        builder_flags += ["FP16", "BF16", "INT8", "OBEY_PRECISION_CONSTRAINTS"]
    creation_flag = enum.IntEnum("NetworkDefinitionCreationFlag", creation, start=0)
    typed = 1 << creation_flag["STRONGLY_TYPED"] if major < 11 else 0
    networks: list[_Network] = []

    class ILogger:
        pass

    class IProgressMonitor:
        pass

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int = 0) -> _Network:
            assert flags < 1 << len(creation), "an unknown flag"
            networks.append(_Network(flags))
            return networks[-1]

        def create_builder_config(self) -> _Config:
            return _Config()

        def create_optimization_profile(self) -> _Profile:
            return _Profile()

        def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
            assert network.flags & typed == typed, "weakly typed"
            return b"engine of " + version.encode()

    class OnnxParser:
        num_errors = 0

        def __init__(self, network: _Network, logger: Any) -> None:
            self.network = network

        def parse_from_file(self, path: str) -> bool:
            self.network.read(onnx.load(Path(path), load_external_data=False).graph)
            return True

    return SimpleNamespace(
        __version__=version,
        ILogger=ILogger,
        IProgressMonitor=IProgressMonitor,
        Builder=Builder,
        OnnxParser=OnnxParser,
        NetworkDefinitionCreationFlag=creation_flag,
        BuilderFlag=enum.IntEnum("BuilderFlag", builder_flags, start=0),
        ProfilingVerbosity=enum.IntEnum("ProfilingVerbosity", ["LAYER_NAMES_ONLY", "NONE", "DETAILED"]),
        networks=networks,
    )
