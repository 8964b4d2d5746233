"""ONNX graphs from the networks of `stylemap.export.network`: standard operators only, weights inside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from stylemap.export.blend import Blend
from stylemap.export.fold import EPS, Folded
from stylemap.export.network import Layers, modulate
from stylemap.export.nodes import Nodes, Value
from stylemap.model.layers import blur_kernel
from stylemap.ops.reference import GROUP_NORM_GROUPS


class GraphBuilder(Nodes):
    """`stylemap.export.network.Operators` whose values are ONNX tensors.

    Activations and weights have the dtype of ``precision`` (fp32, fp16 or bf16); statistics of the
    norms, masks and blending weights are float32, shifts int64.
    """

    def __init__(self, precision: str = "fp32") -> None:
        super().__init__(precision)
        self._blends: dict[int, Blend] = {}

    def constant(self, value: Tensor, name: str) -> Value:
        return Value(self.weight(value, name), value.shape[1])

    def linear(self, x: Value, folded: Folded, name: str) -> Value:
        weights = [self.weight(folded.weight, f"{name}.weight"), self.weight(folded.bias, f"{name}.bias")]
        out = self.node("Gemm", [x.name, *weights], name, transB=1)
        return Value(out, folded.weight.shape[0])

    def pixel_norm(self, x: Value, name: str) -> Value:
        wide = self.to_float(x.name, name)
        axes = self.integers([1])
        mean = self.node(
            "ReduceMean", [self.node("Mul", [wide, wide], f"{name}/square"), axes], f"{name}/mean"
        )
        scale = self._rsqrt(mean, 1e-8, name)
        return Value(self.from_float(self.node("Mul", [wide, scale], f"{name}/normalized"), name), x.channels)

    def reshape(self, x: Value, shape: tuple[int, ...], name: str) -> Value:
        out = self.node("Reshape", [x.name, self.integers([-1, *shape])], f"{name}/reshape")
        return Value(out, shape[0])

    def conv(self, x: Value, weight: Tensor, bias: Tensor | None, name: str) -> Value:
        return self.dense(x, weight, bias, name, padding=weight.shape[-1] // 2)

    def down_conv(self, x: Value, folded: Folded, name: str) -> Value:
        blurred = self._blur(x, 1.0, f"{name}/blur", None, [2] * 4)
        return self.dense(blurred, folded.weight, folded.bias, name, stride=2)

    def dense(
        self, x: Value, weight: Tensor, bias: Tensor | None, name: str, padding: int = 0, stride: int = 1
    ) -> Value:
        """A convolution over all channels: where nearly all the work is."""
        weights = [self.weight(weight, f"{name}.weight")]
        if bias is not None:
            weights.append(self.weight(bias, f"{name}.bias"))
        return Value(
            self.node("Conv", [x.name, *weights], name, **window_of(weight, padding, stride)), len(weight)
        )

    def up_conv(self, x: Value, folded: Folded, name: str) -> Value:
        if self.phased(name):
            wide = self._phases(x, folded.weight, name)
            return self._blur(wide, 4.0, f"{name}/blur", folded.bias, [1, 1, 0, 0])
        weight = self.weight(folded.weight.transpose(0, 1), f"{name}.weight")
        window = window_of(folded.weight, padding=0, stride=2)
        wide = Value(self.node("ConvTranspose", [x.name, weight], name, **window), len(folded.weight))
        return self._blur(wide, 4.0, f"{name}/blur", folded.bias, [1] * 4)

    def phased(self, name: str) -> bool:
        """Whether an up convolution is computed by its four output phases.

        A transposed convolution is faster in ONNX Runtime (by a quarter to a half), but TensorRT has
        none in bfloat16.
        """
        return self.element_type == TensorProto.BFLOAT16

    def _phases(self, x: Value, weight: Tensor, name: str) -> Value:
        """The transposed convolution as a 2×2 one that computes the four output phases, with one more row
        and column of zeros: H×W → (2H+2)×(2W+2)."""
        outputs, inputs = weight.shape[:2]
        # Row 2i + p takes x[i − 1 + tap] times weight row k; (tap, k) for p = 0 and p = 1.
        rows = (((0, 2), (1, 0)), ((1, 1),))
        phases = weight.new_zeros(2, 2, outputs, inputs, 2, 2)
        for py, px in itertools.product(range(2), range(2)):
            for (tap_y, ky), (tap_x, kx) in itertools.product(rows[py], rows[px]):
                phases[py, px, :, :, tap_y, tap_x] = weight[:, :, ky, kx]
        out = self.dense(x, phases.reshape(4 * outputs, inputs, 2, 2), None, name, padding=1)
        return Value(self.node("DepthToSpace", [out.name], f"{name}/phases", blocksize=2), outputs)

    def downsample(self, x: Value, name: str) -> Value:
        return self._blur(x, 1.0, name, None, [1] * 4, stride=2)

    def upsample(self, x: Value, name: str) -> Value:
        # Up by 2 the blur is bilinear interpolation with zeros around the image. As a depthwise transposed
        # convolution it would take ONNX Runtime a tenth of a decode longer.
        sides = self.integers([2, 3])
        border = self.integers([0, 0, 1, 1, 0, 0, 1, 1])
        wide = self.node("Pad", [x.name, border], f"{name}/pad")
        scales = self.weight(torch.tensor([1.0, 1.0, 2.0, 2.0]), "scales", torch.float32)
        linear: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        wide = self.node("Resize", [wide, "", scales], f"{name}/resize", **linear)
        crop = [self.integers([2, 2]), self.integers([-2, -2]), sides]
        return x._replace(name=self.node("Slice", [wide, *crop], name))

    def leaky(self, x: Value, name: str) -> Value:
        return Value(self.node("LeakyRelu", [x.name], name, alpha=0.2), x.channels)

    def add(self, a: Value, b: Value, name: str) -> Value:
        return Value(self.node("Add", [a.name, b.name], name), a.channels)

    def multiply(self, a: Value, b: Value, name: str) -> Value:
        return Value(self.node("Mul", [a.name, b.name], name), a.channels)

    def split(self, x: Value, sizes: Sequence[int], name: str) -> list[Value]:
        lengths = self.integers(list(sizes))
        first = self.node("Split", [x.name, lengths], f"{name}/split", outputs=len(sizes), axis=1)
        stem = first.removesuffix(".0")
        return [Value(f"{stem}.{index}", size) for index, size in enumerate(sizes)]

    def normalize(self, x: Value, mode: str, name: str) -> Value:
        groups = {"LayerNorm": 0, "GroupNorm": GROUP_NORM_GROUPS, "InstanceNorm2d": x.channels}[mode]
        wide = self.to_float(x.name, name)
        if groups in (0, x.channels):
            out = self._standardize(wide, layer=groups == 0, name=name)
        else:
            grouped = self.integers([0, groups, -1, 1])
            grouped = self.node("Reshape", [wide, grouped], f"{name}/grouped")
            like = self.node("Shape", [wide], f"{name}/shape")
            out = self._standardize(grouped, layer=False, name=name)
            out = self.node("Reshape", [out, like], f"{name}/ungrouped")
        return Value(self.from_float(out, name), x.channels)

    def _standardize(self, x: str, layer: bool, name: str) -> str:
        """(x − mean)/sqrt(var + eps) over dimensions 2 and 3, and over 1 with ``layer``; float32."""
        centred = self.node("Sub", [x, self._mean(x, layer, f"{name}/mean")], f"{name}/centred")
        square = self.node("Mul", [centred, centred], f"{name}/square")
        scale = self._rsqrt(self._mean(square, layer, f"{name}/variance"), EPS, name)
        return self.node("Mul", [centred, scale], f"{name}/normalized")

    def _mean(self, x: str, layer: bool, name: str) -> str:
        # Two steps: over all of C×H×W at once ONNX Runtime sums millions of values one after the other, an
        # error of 3e-4 in a 256×256 image. LayerNormalization and ReduceSumSquare are no faster.
        mean = self.node("ReduceMean", [x, self.integers([2, 3])], name)
        if not layer:
            return mean
        return self.node("ReduceMean", [mean, self.integers([1])], f"{name}/channels")

    def _rsqrt(self, x: str, eps: float, name: str) -> str:
        small = self.weight(torch.tensor(eps), "eps", torch.float32)
        root = self.node("Sqrt", [self.node("Add", [x, small], f"{name}/stabilized")], f"{name}/deviation")
        return self.node("Reciprocal", [root], f"{name}/scale")

    def _blur(
        self, x: Value, gain: float, name: str, bias: Tensor | None, pads: list[int], stride: int = 1
    ) -> Value:
        weights = [self.weight(blur_kernel(gain).expand(x.channels, 1, 4, 4), f"{name}.weight")]
        if bias is not None:
            weights.append(self.weight(bias, f"{name}.bias"))
        window: dict[str, Any] = {"kernel_shape": [4, 4], "pads": pads, "strides": [stride, stride]}
        return Value(self.node("Conv", [x.name, *weights], name, group=x.channels, **window), x.channels)

    def to_float(self, x: str, name: str) -> str:
        if self.element_type == TensorProto.FLOAT:
            return x
        return self.node("Cast", [x], f"{name}/float", to=TensorProto.FLOAT)

    def from_float(self, x: str, name: str) -> str:
        if self.element_type == TensorProto.FLOAT:
            return x
        return self.node("Cast", [x], f"{name}/narrow", to=self.element_type)

    def modulate(self, x: Value, code: Value, both: Folded, mode: str | None, name: str) -> Value:
        return modulate(self, x, code, both, mode, name)

    def blend(self, code: Value, laid: Value, layers: Layers[Value], side: int, name: str) -> Value:
        return self._blend_of(layers, side).apply(code, laid, name)

    def ring(
        self, code: Value, maps: Value, laid: Value, layers: Layers[Value], both: Folded, side: int, name: str
    ) -> Value:
        pasted = self.blend(maps, laid, layers, side, f"{name}/pasted")
        made = self.conv(code, both.weight, both.bias, f"{name}/made")
        nothing = self.weight(torch.tensor(0.0), "constant/0", torch.float32)
        near = self.node("Greater", [self.border(layers, side), nothing], f"{name}/near")
        return pasted._replace(name=self.node("Where", [near, made.name, pasted.name], name))

    def border(self, layers: Layers[Value], side: int) -> str:
        """N×1×r×r float32, above 0 on the cells that `ring` convolves."""
        return self._blend_of(layers, side).border

    def _blend_of(self, layers: Layers[Value], side: int) -> Blend:
        if side not in self._blends:
            self._blends[side] = Blend(self, layers, side)
        return self._blends[side]


def window_of(weight: Tensor, padding: int, stride: int) -> dict[str, Any]:
    """Attributes of a convolution."""
    return {"kernel_shape": list(weight.shape[2:]), "pads": [padding] * 4, "strides": [stride] * 2}
