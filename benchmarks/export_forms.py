"""Ways to write the decoder's norms and up-samplings in ONNX, in turns in ONNX Runtime.

`stylemap.export.graph.GraphBuilder` has the best of them; each class here changes one thing.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from stylemap.export import graphs
from stylemap.export.fold import EPS
from stylemap.export.graph import GraphBuilder
from stylemap.export.nodes import Value
from stylemap.export.verify import relative_error
from stylemap.model import StyleMapGAN
from stylemap.model.layers import blur_kernel


class MeanAtOnce(GraphBuilder):
    """Mean and variance over C×H×W in one ReduceMean each, instead of over H×W and then C."""

    def _mean(self, x: str, layer: bool, name: str) -> str:
        return self.node("ReduceMean", [x, self.integers([1, 2, 3] if layer else [2, 3])], name)


class SumOfSquares(GraphBuilder):
    """The variance by ReduceSumSquare, which does not write the squares."""

    def normalize(self, x: Value, mode: str, name: str) -> Value:
        centred = self.node("Sub", [x.name, self._mean(x.name, True, f"{name}/mean")], f"{name}/centred")
        total = self.node("ReduceSumSquare", [centred, self.integers([2, 3])], f"{name}/squares")
        total = self.node("ReduceSum", [total, self.integers([1])], f"{name}/total")
        size = self.node("Size", [centred], f"{name}/size")
        batch = self.node("Shape", [centred], f"{name}/batch", start=0, end=1)
        count = self.node("Cast", [self.node("Div", [size, batch], f"{name}/count")], f"{name}/number", to=1)
        scale = self._rsqrt(self.node("Div", [total, count], f"{name}/variance"), EPS, name)
        return x._replace(name=self.node("Mul", [centred, scale], f"{name}/normalized"))


class LayerNormalization(GraphBuilder):
    """The operator of this name, over rows of C·H·W values."""

    def normalize(self, x: Value, mode: str, name: str) -> Value:
        rows = self.node("Reshape", [x.name, self.integers([0, -1])], f"{name}/rows")
        one = self.weight(torch.ones(1), "one")
        rows = self.node("LayerNormalization", [rows, one], f"{name}/op", axis=1, epsilon=EPS)
        shape = self.node("Shape", [x.name], f"{name}/shape")
        return x._replace(name=self.node("Reshape", [rows, shape], f"{name}/normalized"))


class InstanceNormalization(GraphBuilder):
    """The operator of this name, over one channel of C·H·W values."""

    def normalize(self, x: Value, mode: str, name: str) -> Value:
        rows = self.node("Reshape", [x.name, self.integers([0, 1, -1])], f"{name}/rows")
        scale, shift = self.weight(torch.ones(1), "one"), self.weight(torch.zeros(1), "zero")
        rows = self.node("InstanceNormalization", [rows, scale, shift], f"{name}/op", epsilon=EPS)
        shape = self.node("Shape", [x.name], f"{name}/shape")
        return x._replace(name=self.node("Reshape", [rows, shape], f"{name}/normalized"))


class PhaseConvolutions(GraphBuilder):
    """Up convolutions by their four phases, as in bfloat16 graphs, instead of ConvTranspose."""

    def phased(self, name: str) -> bool:
        return True


class DepthwiseTransposed(GraphBuilder):
    """The skips' up-sampling as a depthwise ConvTranspose instead of Resize."""

    def upsample(self, x: Value, name: str) -> Value:
        weight = self.weight(blur_kernel(4).expand(x.channels, 1, 4, 4), f"{name}.weight")
        window: dict[str, Any] = {"kernel_shape": [4, 4], "pads": [1] * 4, "strides": [2, 2]}
        return x._replace(name=self.node("ConvTranspose", [x.name, weight], name, group=x.channels, **window))


FORMS: dict[str, type[GraphBuilder]] = {
    "as exported": GraphBuilder,
    "norm: ReduceMean over C, H, W at once": MeanAtOnce,
    "norm: ReduceSumSquare": SumOfSquares,
    "norm: LayerNormalization": LayerNormalization,
    "norm: InstanceNormalization": InstanceNormalization,
    "up: four phases": PhaseConvolutions,
    "skip: depthwise ConvTranspose": DepthwiseTransposed,
}


def measure_forms(model: StyleMapGAN, w: Tensor, threads: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each form of the decoder. LayerNorm models only."""
    expected, feeds = model.decode(w), {"w": w.numpy()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions: dict[str, onnxruntime.InferenceSession] = {}
    rows: list[dict[str, Any]] = []
    seconds: dict[str, list[float]] = {}
    for name, builder in FORMS.items():
        proto = graphs.build(model, "decoder", builder=builder)
        sessions[name] = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        del proto
        error = relative_error(torch.from_numpy(sessions[name].run(None, feeds)[0]), expected)
        rows.append({"form": name, "error": float(f"{error:.2g}")})
        seconds[name] = []
    for _ in range(rounds):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, feeds)
            seconds[name].append(time.perf_counter() - start)
    for row in rows:
        times = seconds[row["form"]]
        row["best_ms"] = round(1e3 * min(times), 1)
        row["median_ms"] = round(1e3 * statistics.median(times), 1)
        print("{form:40} best {best_ms:8.1f} median {median_ms:8.1f} ms  error {error:.1e}".format(**row))
    return rows
