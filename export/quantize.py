"""int8 graphs for ONNX Runtime: QuantizeLinear and DequantizeLinear around convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from stylemap.export.graph import GraphBuilder, window_of
from stylemap.export.nodes import Value
from torch import Tensor

Ranges = Mapping[str, tuple[float, float]]


class QuantizedBuilder(GraphBuilder):
    """Builds graphs whose convolutions have int8 weights, scaled per output channel, and uint8 inputs and
    outputs, scaled per tensor; everything between them stays float32.

    ranges: of the inputs and outputs (NAME/input, NAME/output) of the layers to quantise; layers that
    are not in it stay float32.
    """

    def __init__(self, ranges: Ranges) -> None:
        super().__init__("fp32")
        self.ranges = ranges
        self._rounded: dict[str, tuple[str, float]] = {}

    def phased(self, name: str) -> bool:
        # There is no transposed convolution in int8.
        return f"{name}/input" in self.ranges

    def dense(
        self, x: Value, weight: Tensor, bias: Tensor | None, name: str, padding: int = 0, stride: int = 1
    ) -> Value:
        if f"{name}/input" not in self.ranges:
            return super().dense(x, weight, bias, name, padding, stride)
        taken, x_scale = self._round(x.name, self.ranges[f"{name}/input"])
        scale = (weight.abs().amax((1, 2, 3)) / 127).clamp_min(1e-12)
        whole = weight / scale[:, None, None, None]
        inputs = [taken, self._dequantized(whole, scale, torch.int8, f"{name}.weight")]
        if bias is not None:
            total = scale * x_scale
            inputs.append(self._dequantized(bias / total, total, torch.int32, f"{name}.bias"))
        out = self.node("Conv", inputs, name, **window_of(weight, padding, stride))
        return Value(self._round(out, self.ranges[f"{name}/output"])[0], len(weight))

    def _round(self, x: str, limits: tuple[float, float]) -> tuple[str, float]:
        """x through uint8 and back, and the scale; once for each tensor."""
        if x not in self._rounded:
            low, high = limits
            scale = max((high - low) / 255, 1e-12)
            step = self.weight(torch.tensor(scale), f"{x}/scale", torch.float32)
            zero = self.weight(torch.tensor(round(-low / scale)), f"{x}/zero", torch.uint8)
            whole = self.node("QuantizeLinear", [x, step, zero], f"{x}/quantized")
            self._rounded[x] = self.node("DequantizeLinear", [whole, step, zero], f"{x}/rounded"), scale
        return self._rounded[x]

    def _dequantized(self, value: Tensor, scale: Tensor, dtype: torch.dtype, name: str) -> str:
        """A weight stored as integers along dimension 0."""
        whole = self.weight(value.round(), name, dtype)
        steps = self.weight(scale, f"{name}/scale", torch.float32)
        zero = self.weight(torch.zeros(len(scale)), f"{name}/zero", dtype)
        return self.node("DequantizeLinear", [whole, steps, zero], f"{name}/dequantized", axis=0)
