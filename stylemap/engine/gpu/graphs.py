"""Programs: functions of fixed tensors, run as CUDA graphs where there is a GPU.

A graph replays kernels on the memory they were captured with. So a program has its inputs, which the caller
fills, and its outputs, which the next run overwrites; all programs of one `Graphs` take turns on one stream.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from stylemap.engine.gpu import kernel_choices

Function = Callable[..., Sequence[Tensor]]
Recording = tuple[Callable[[], None], list[Tensor]]
_log = logging.getLogger(__name__)


class Lane:
    """Work of one thread at a time, on a stream of its own.

    Inside ``with lane:`` the current stream is the lane's. It starts when what the caller had queued is
    done, and what the caller queues afterwards waits for it: on the device, nothing waits on the host.
    """

    def __init__(self, device: torch.device, *, exact: bool = False) -> None:
        self.device = device
        self._exact = exact
        self._lock = threading.RLock()
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self.stream is None:
                yield
                return
            caller = torch.cuda.current_stream(self.device)
            self.stream.wait_stream(caller)
            try:
                with torch.cuda.stream(self.stream):
                    yield
            finally:
                caller.wait_stream(self.stream)

    def taken(self, x: Tensor) -> Tensor:
        """A tensor that the lane reads: its memory is not used again before that is done."""
        if self.stream is not None and x.is_cuda:
            x.record_stream(self.stream)
        return x

    def given(self, x: Tensor) -> Tensor:
        """A tensor that the lane made and its caller will read."""
        if self.stream is not None:
            x.record_stream(torch.cuda.current_stream(self.device))
        return x

    @contextlib.contextmanager
    def convolutions(self) -> Iterator[None]:
        """cuDNN deterministic, and for float32 without the rounding to 10 bits that it does by itself; what
        is chosen here is kept for other processes.
        """
        if self.stream is None:
            yield
            return
        cudnn = torch.backends.cudnn
        before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
        cudnn.deterministic, cudnn.benchmark = True, False
        cudnn.allow_tf32 = before[2] and not self._exact
        try:
            with kernel_choices.kept():
                yield
        finally:
            cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before


class Recorder(Protocol):
    """Makes a graph of a function: what replays it, and its outputs, which every replay overwrites.

    Raises RuntimeError where the function cannot be captured.
    """

    def __call__(
        self, function: Callable[[], Sequence[Tensor]]
    ) -> tuple[Callable[[], None], list[Tensor]]: ...


class CudaRecorder:
    """CUDA graphs in one private pool of memory: they run one after the other, so they can share it."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Sequence[Tensor]]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads may allocate meanwhile.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._lane.stream, capture_error_mode="thread_local"
        ):
            outputs = list(function())
        return graph.replay, outputs


class Program:
    """One function on its own inputs. The first run is eager: it chooses kernels and makes workspaces."""

    def __init__(
        self, key: Hashable, function: Function, inputs: list[Tensor], lane: Lane, record: Recorder | None
    ) -> None:
        self.inputs = inputs
        self._key = key
        self._function = function
        self._lane = lane
        self._record = record
        self._replay: Callable[[], None] | None = None
        self._outputs: list[Tensor] = []

    @property
    def captured(self) -> bool:
        return self._replay is not None

    @property
    def bytes(self) -> int:
        """Of inputs and outputs."""
        return sum(t.numel() * t.element_size() for t in (*self.inputs, *self._outputs))

    def __call__(self) -> list[Tensor]:
        """The outputs for what the inputs hold now: to be copied or used up before the next run."""
        if self._replay is not None:
            self._replay()
            return self._outputs
        with self._lane.convolutions():
            outputs = list(self._function(*self.inputs))
            if self._record is not None:
                self._capture(self._record)
        return outputs

    def _capture(self, record: Recorder) -> None:
        self._record = None
        try:
            self._replay, self._outputs = record(lambda: self._function(*self.inputs))
        except RuntimeError as failure:
            reason = str(failure).strip().splitlines() or [repr(failure)]
            _log.warning("%s runs without a CUDA graph: %s", self._key, reason[0])


class Graphs:
    """Programs by key, the least recently used dropped first.

    Args:
        record: makes graphs; None runs everything eagerly.
        limit: most programs kept.
        limit_bytes: most memory of their inputs and outputs, the last used one's aside.
    """

    def __init__(
        self, lane: Lane, record: Recorder | None, *, limit: int = 32, limit_bytes: int = 1 << 30
    ) -> None:
        self.lane = lane
        self._record = record
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._programs: OrderedDict[Hashable, Program] = OrderedDict()
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._programs)

    @property
    def captured(self) -> int:
        """How many programs are graphs."""
        return sum(program.captured for program in self._programs.values())

    @property
    def bytes(self) -> int:
        return sum(program.bytes for program in self._programs.values())

    @property
    def programs(self) -> dict[Hashable, Program]:
        """Those that are kept now."""
        return dict(self._programs)

    def program(self, key: Hashable, function: Function, inputs: Callable[[], list[Tensor]]) -> Program:
        """The program of a key, made at its first use. Inside the lane only."""
        program = self._programs.get(key)
        if program is None:
            program = Program(key, function, inputs(), self.lane, self._record)
            self._programs[key] = program
            self._shrink()
        self._programs.move_to_end(key)
        return program

    def run(self, key: Hashable, function: Function, *given: Tensor) -> list[Tensor]:
        """The function's results for these tensors; copies, which are the caller's."""
        with torch.no_grad(), self.lane():
            program = self.program(key, function, lambda: [self._like(tensor) for tensor in given])
            for static, tensor in zip(program.inputs, given, strict=True):
                static.copy_(self.lane.taken(tensor), non_blocking=True)
            results = [output.clone() for output in program()]
        return [self.lane.given(result) for result in results]

    def _like(self, tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device=self.lane.device)

    def clear(self) -> None:
        self._wait()
        self._programs.clear()

    def _shrink(self) -> None:
        while len(self._programs) > 1 and (
            len(self._programs) > self._limit or self.bytes > self._limit_bytes
        ):
            self._wait()
            self._programs.popitem(last=False)
            self.evictions += 1

    def _wait(self) -> None:
        """Until no graph runs that is about to go."""
        if self.lane.stream is not None:
            self.lane.stream.synchronize()
