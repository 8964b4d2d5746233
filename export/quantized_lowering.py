"""Graphs with int8 or float8 convolutions: QuantizeLinear and DequantizeLinear around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.export.lowering import OnnxLowering, window_of
from stylemap.export.nodes import Value
from stylemap.program import Weights

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Kind:
    """How convolutions are quantised.

    base: precision of everything else. weight: dtype of weights, which reach up to ``most`` and are
    scaled per output channel. activation: dtype of inputs, scaled per tensor. outputs: whether outputs
    (and with them biases) are rounded too.
    """

    base: str
    weight: torch.dtype
    most: float
    activation: torch.dtype
    outputs: bool


KINDS = {
    # ONNX Runtime computes a convolution in int8 only where its output is int8 as well.
    "int8": Kind("fp32", torch.int8, 127, torch.uint8, outputs=True),
    # TensorRT's: e4m3 in, half precision out.
    "fp8": Kind("fp16", torch.float8_e4m3fn, 448, torch.float8_e4m3fn, outputs=False),
}


class QuantizedLowering(OnnxLowering):
    """The network with quantised convolutions.

    ranges: of the inputs and outputs (NAME/input, NAME/output) of the layers to quantise; layers that
    are not in it keep the base precision.
    """

    def __init__(self, weights: Weights, precision: str, kind: Kind, ranges: Ranges) -> None:
        super().__init__(weights, precision)
        self.kind = kind
        self.ranges = ranges
        self._rounded: dict[str, tuple[str, float]] = {}

    def phased(self, name: str) -> bool:
        """True for what is quantised: there is no transposed convolution in int8 or float8."""
        return f"{name}/input" in self.ranges

    def dense(
        self, x: Value, weight: Tensor, bias: Tensor | None, name: str, padding: int = 0, stride: int = 1
    ) -> Value:
        """See `OnnxLowering.dense`; between QuantizeLinear and DequantizeLinear where there are ranges."""
        if f"{name}/input" not in self.ranges:
            return super().dense(x, weight, bias, name, padding, stride)
        taken, x_scale = self._round(x.name, self.ranges[f"{name}/input"])
        scale = (weight.abs().amax((1, 2, 3)) / self.kind.most).clamp_min(1e-12)
        inputs = [taken, self._dequantized(weight, scale, self.kind.weight, f"{name}.weight")]
        if bias is not None and self.kind.outputs:
            inputs.append(self._dequantized(bias, scale * x_scale, torch.int32, f"{name}.bias"))
        elif bias is not None:
            inputs.append(self.weight(bias, f"{name}.bias"))
        out = self.node("Conv", inputs, name, **window_of(weight, padding, stride))
        if self.kind.outputs:
            out, _ = self._round(out, self.ranges[f"{name}/output"])
        return Value(out, len(weight))

    def _round(self, x: str, limits: tuple[float, float]) -> tuple[str, float]:
        """x through the activations' dtype and back, and the scale; once for each tensor."""
        if x not in self._rounded:
            low, high = limits
            integer = self.kind.activation == torch.uint8
            scale = max((high - low) / 255 if integer else max(-low, high) / self.kind.most, 1e-7)
            step = self.weight(torch.tensor(scale), f"{x}/scale")
            zero_point = round(-low / scale) if integer else 0
            zero = self.weight(torch.tensor(zero_point), f"{x}/zero", self.kind.activation)
            stored = self.node("QuantizeLinear", [x, step, zero], f"{x}/quantized")
            self._rounded[x] = self.node("DequantizeLinear", [stored, step, zero], f"{x}/rounded"), scale
        return self._rounded[x]

    def _dequantized(self, value: Tensor, scale: Tensor, dtype: torch.dtype, name: str) -> str:
        """A weight stored in ``dtype``, scaled along dimension 0."""
        value = value / scale.view(-1, *[1] * (value.ndim - 1))
        stored = self.weight(value if dtype.is_floating_point else value.round(), name, dtype)
        steps = self.weight(scale, f"{name}/scale")
        zero = self.weight(torch.zeros(len(scale)), f"{name}/zero", dtype)
        return self.node("DequantizeLinear", [stored, steps, zero], f"{name}/dequantized", axis=0)
