"""Captured graphs: functions of fixed tensors, run as CUDA graphs where there is a GPU.

A captured graph replays kernels on the memory they were captured with. So it has its inputs, which the caller
fills, and its outputs, which the next run overwrites; all of one `CapturedGraphs` take turns on one stream.
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

from stylemap.ops import autotune

Function = Callable[..., Sequence[Tensor]]
Replay = tuple[Callable[[], None], list[Tensor]]
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
        """Take the lane for a block; the same thread may take it again inside."""
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
            with autotune.kept():
                yield
        finally:
            cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before


class Capture(Protocol):
    """Captures a function as a graph: what replays it, and its outputs, which every replay overwrites.

    Raises RuntimeError where the function cannot be captured.
    """

    def __call__(self, function: Callable[[], Sequence[Tensor]]) -> Replay:
        """Run the function once, recording its kernels."""
        ...


class CudaCapture:
    """CUDA graphs in one private pool of memory: they run one after the other, so they can share it."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Sequence[Tensor]]) -> Replay:
        """Record the kernels that the function starts; they do not run."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads may allocate meanwhile.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._lane.stream, capture_error_mode="thread_local"
        ):
            outputs = list(function())
        return graph.replay, outputs


class CapturedGraph:
    """One function on its own inputs. The first run is eager: it chooses kernels and makes workspaces; then
    the function is captured, and later runs replay it.
    """

    def __init__(
        self, key: Hashable, function: Function, inputs: list[Tensor], lane: Lane, capture: Capture | None
    ) -> None:
        self.function = function
        self.inputs = inputs
        self._key = key
        self._lane = lane
        self._capture = capture
        self._replay: Callable[[], None] | None = None
        self._outputs: list[Tensor] = []

    @property
    def captured(self) -> bool:
        """Whether runs are replays from now on."""
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
            outputs = list(self.function(*self.inputs))
            if self._capture is not None:
                self._try(self._capture)
        return outputs

    def _try(self, capture: Capture) -> None:
        self._capture = None
        try:
            self._replay, self._outputs = capture(lambda: self.function(*self.inputs))
        except RuntimeError as failure:
            reason = str(failure).strip().splitlines() or [repr(failure)]
            _log.warning("%s runs without a CUDA graph: %s", self._key, reason[0])


class CapturedGraphs:
    """Captured graphs by key, the least recently used dropped first.

    Args:
        capture: how they are captured; None runs everything eagerly.
        limit: most of them kept.
        limit_bytes: most memory of their inputs and outputs, the last used one's aside.
    """

    def __init__(
        self, lane: Lane, capture: Capture | None, *, limit: int = 32, limit_bytes: int = 1 << 30
    ) -> None:
        self.lane = lane
        self._capture = capture
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._graphs: OrderedDict[Hashable, CapturedGraph] = OrderedDict()

    def __len__(self) -> int:
        return len(self._graphs)

    @property
    def captured(self) -> int:
        """How many have been captured."""
        return sum(graph.captured for graph in self._graphs.values())

    @property
    def bytes(self) -> int:
        """Of the inputs and outputs of all."""
        return sum(graph.bytes for graph in self._graphs.values())

    @property
    def by_key(self) -> dict[Hashable, CapturedGraph]:
        """All of them, the least recently used first."""
        return dict(self._graphs)

    def graph(self, key: Hashable, function: Function, inputs: Callable[[], list[Tensor]]) -> CapturedGraph:
        """That of a key, made at its first use. Inside the lane only."""
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = CapturedGraph(key, function, inputs(), self.lane, self._capture)
            self._shrink()
        self._graphs.move_to_end(key)
        return graph

    def run(self, key: Hashable, function: Function, *given: Tensor) -> list[Tensor]:
        """The function's results for these tensors; copies, which are the caller's."""
        with torch.no_grad(), self.lane():
            graph = self.graph(key, function, lambda: [self._like(tensor) for tensor in given])
            for static, tensor in zip(graph.inputs, given, strict=True):
                static.copy_(self.lane.taken(tensor), non_blocking=True)
            results = [output.clone() for output in graph()]
        return [self.lane.given(result) for result in results]

    def _like(self, tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device=self.lane.device)

    def clear(self) -> None:
        """Give all of them up, and their memory."""
        self._wait()
        self._graphs.clear()

    def _shrink(self) -> None:
        while len(self._graphs) > 1 and (len(self._graphs) > self._limit or self.bytes > self._limit_bytes):
            self._wait()
            self._graphs.popitem(last=False)

    def _wait(self) -> None:
        """Until none runs that is about to go."""
        if self.lane.stream is not None:
            self.lane.stream.synchronize()
