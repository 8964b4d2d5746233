"""TensorRT engines on torch tensors: the current stream, a CUDA graph per shape."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.export.package import Log, Package, gpu, load, make_logger
from stylemap.export.sessions.base import ONNX_SUFFIX, Session
from stylemap.export.sidecar import Sidecar, digest, read_sidecar

_SHAPES = 4


@dataclass
class _Prepared:
    """Everything for one set of shapes: it can be run again by copying inputs and replaying."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    context: Any
    graph: torch.cuda.CUDAGraph | None


class EngineSession(Session):
    """Runs a .engine file with its sidecar.

    The first call of a shape runs the engine directly and captures it; later ones copy their inputs
    and replay. The most recent shapes are kept. Calls may come from several threads.
    """

    provider = "tensorrt"

    def __init__(self, path: Path) -> None:
        self.path = path
        sidecar = read_sidecar(path)
        package = check_runnable(path, sidecar)
        self.description = sidecar.description
        self.max_batch = sidecar.batches[2]
        self.max_references = sidecar.max_references or None
        self.device = self._current_device()
        self.trt, self._log = package.trt, Log()
        logger = make_logger(package, self._log)
        self._runtime = package.trt.Runtime(logger)
        self.engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self.engine is None:
            raise RuntimeError(f"TensorRT cannot load {path}: {self._log.reason()}")
        if sidecar.weight_stripped:
            _refit(package, self.engine, logger, path, sidecar)
        self._prepared: OrderedDict[tuple[tuple[int, ...], ...], _Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`. Any thread may call; the first call of a shape takes longest.

        Raises:
            RuntimeError: TensorRT fails, or has too little memory for these shapes.
        """
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        taken = [name for name in names if self._is_input(name)]
        key = tuple(tuple(inputs[name].shape) for name in taken)
        with self._lock, torch.no_grad():
            if key not in self._prepared:
                self._prepared[key] = self._prepare({name: inputs[name] for name in taken})
                if len(self._prepared) > _SHAPES:
                    self._prepared.popitem(last=False)
            self._prepared.move_to_end(key)
            prepared = self._prepared[key]
            for name, held in prepared.inputs.items():
                held.copy_(inputs[name])
            if prepared.graph is not None:
                prepared.graph.replay()
            else:
                self._execute(prepared.context)
            return {name: value.float().clone() for name, value in prepared.outputs.items()}

    def _prepare(self, inputs: Mapping[str, Tensor]) -> _Prepared:
        context = self.engine.create_execution_context()
        if context is None:
            raise RuntimeError(f"{self.path}: not enough GPU memory for these shapes: {self._log.reason()}")
        held = {}
        for name, value in inputs.items():
            held[name] = torch.zeros(value.shape, dtype=self._dtype(name), device=self.device)
            if not context.set_input_shape(name, tuple(value.shape)):
                raise ValueError(f"{self.path} does not take {name} of shape {tuple(value.shape)}")
            context.set_tensor_address(name, held[name].data_ptr())
        outputs = {}
        for index in range(self.engine.num_io_tensors):
            name = self.engine.get_tensor_name(index)
            if not self._is_input(name):
                shape = tuple(context.get_tensor_shape(name))
                outputs[name] = torch.empty(shape, dtype=self._dtype(name), device=self.device)
                context.set_tensor_address(name, outputs[name].data_ptr())
        self._execute(context)
        return _Prepared(held, outputs, context, self._capture(context))

    @staticmethod
    def _current_device() -> torch.device:
        return torch.device("cuda", torch.cuda.current_device())

    def _stream(self) -> int:
        return int(torch.cuda.current_stream(self.device).cuda_stream)

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(self._stream()):
            raise RuntimeError(f"{self.path} failed: {self._log.reason()}")

    def _capture(self, context: Any) -> torch.cuda.CUDAGraph | None:
        """The launches as a graph; None where TensorRT for RTX says that they cannot be captured."""
        torch.cuda.synchronize(self.device)
        if hasattr(context, "is_stream_capturable") and not context.is_stream_capturable(self._stream()):
            return None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._execute(context)
        return graph

    def _is_input(self, name: str) -> bool:
        return bool(self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT)

    def _dtype(self, name: str) -> torch.dtype:
        kind = self.engine.get_tensor_dtype(name).name
        return {
            "FLOAT": torch.float32,
            "HALF": torch.float16,
            "BF16": torch.bfloat16,
            "INT64": torch.int64,
        }[kind]


def check_runnable(path: Path, sidecar: Sidecar) -> Package:
    """The package to run an engine with, on the GPU at hand.

    Raises:
        RuntimeError: no GPU, another one than the engine was built for, another version of TensorRT.
        ImportError: the package is missing.
    """
    wanted, here = ", ".join(sidecar.gpus), gpu()
    if here is None:
        raise RuntimeError(f"{path} needs an NVIDIA GPU of compute capability {wanted}; there is none here")
    if here[1] not in sidecar.gpus:
        raise RuntimeError(
            f"{path} was built for compute capability {wanted}, but {here[0]} has {here[1]}: "
            "build it for this GPU"
        )
    package = load(sidecar.package)
    same = package.version == sidecar.version
    newer = _numbers(package.version) > _numbers(sidecar.version)
    if not same and not (sidecar.version_compatible and newer):
        raise RuntimeError(
            f"{path} was built by {sidecar.package} {sidecar.version}, but {package.version} is installed: "
            "build it again, or with --version-compatible by the older one"
        )
    return package


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _refit(package: Package, engine: Any, logger: Any, path: Path, sidecar: Sidecar) -> None:
    """Put the weights of the ONNX file beside it into a weight-stripped engine."""
    source = path.with_suffix(ONNX_SUFFIX)
    if not source.is_file():
        raise FileNotFoundError(f"{path} has no weights of its own and needs {source.name} beside it")
    if digest(source) != sidecar.onnx:
        raise ValueError(f"{source} is not the file that {path.name} was built from: build it again")
    refitter = package.trt.Refitter(engine, logger)
    parser = package.trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_file(str(source)) or not refitter.refit_cuda_engine():
        raise RuntimeError(f"TensorRT cannot put the weights of {source} into {path.name}")
