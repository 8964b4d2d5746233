"""The network as an ONNX graph: standard operators only, weights inside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from stylemap.export.blend import Blend
from stylemap.export.nodes import Nodes, Value
from stylemap.model.layers import blur_kernel
from stylemap.ops.reference import GROUP_NORM_GROUPS
from stylemap.program import EPS, SLOPE, Box, Conv, Features, Linear, Mode, Overlay, Styled, ToRgb, Weights


class OnnxLowering(Nodes):
    """`program.Overlaying` and `program.Mapping` whose values are tensors of an ONNX graph.

    The statistics that travel with features are the norm that is still to be computed of them, or None.
    Activations and weights have the dtype of ``precision`` (fp32, fp16 or bf16); statistics of the norms,
    masks and blending weights are float32, shifts int64. Nodes and weights have the names of the layers.
    """

    def __init__(self, weights: Weights, precision: str = "fp32") -> None:
        super().__init__(precision)
        self.weights = weights
        self._blends: dict[int, Blend] = {}

    def conv(self, x: Value, layer: Conv) -> Value:
        """Conv, or ConvTranspose and a depthwise Conv for the blur, then LeakyRelu."""
        return self._activated(self._linear(x, layer), layer)

    def down_conv(self, x: Value, layer: Conv, skip: Value) -> Value:
        """A depthwise Conv for the blur, Conv of stride 2, LeakyRelu, Add."""
        return self._add(self.conv(x, layer), skip, _block_of(layer))

    def down_skip(self, x: Value, layer: Conv) -> Value:
        """A depthwise Conv of stride 2 for the blur, then Conv."""
        halved = self._blur(x, 1.0, f"{layer.name}/blur", None, [1] * 4, stride=2)
        return self.dense(halved, *self.weights.conv(layer), layer.name)

    def up_skip(self, x: Value, layer: Conv) -> Value:
        """Conv, at the low resolution."""
        return self._linear(x, layer)

    def maps(self, code: Value, layer: Conv) -> Value:
        """One Conv: γ, then β, N×2C×r×r (N×(C+3)×S×S of the last code)."""
        return self._linear(code, layer)

    def constant(self, style: Value) -> Features[Value, str | None]:
        """One for all images: it is expanded where it meets their maps."""
        value = self.weights.constant()
        return Features(Value(self.weight(value, "decoder/input"), value.shape[1]), None)

    def styled(
        self, x: Features[Value, str | None], code: Value, layer: Styled, skip: Value | None
    ) -> Features[Value, str | None]:
        """`styled_from_maps` of a stylecode's maps, or what a subclass has in place of `modulated`."""
        return self._styled(self.modulated(x, code, layer), layer, skip)

    def styled_from_maps(
        self,
        x: Features[Value, str | None],
        maps: Value,
        layer: Styled,
        skip: Value | None,
        statistics: str | None,
    ) -> Features[Value, str | None]:
        """The norm in float32, Mul, Add, the convolution, and the upsampled skip."""
        return self._styled(self._modulated_by(x, maps, layer), layer, skip)

    def modulated(self, x: Features[Value, str | None], code: Value, layer: Styled) -> Value:
        """norm(x)·γ + β with γ and β from a stylecode."""
        return self._modulated_by(x, self.maps(code, layer.maps), layer)

    def to_rgb(self, x: Features[Value, str | None], maps: Value, layer: ToRgb) -> Value:
        """Mul, the 1×1 Conv, Add, LeakyRelu."""
        name = layer.conv.name
        gamma, beta = self._split(maps, (layer.conv.inputs, layer.conv.outputs), layer.maps.name)
        scaled = self._multiply(self._normal(x, name), gamma, f"{name}/scale")
        mixed = self.dense(scaled, *self.weights.conv(layer.conv), name)
        return self._activated(self._add(mixed, beta, f"{name}/shift"), layer.conv)

    def crop(self, x: Value, box: Box) -> Value:
        """Raises NotImplementedError: graphs render whole images."""
        raise NotImplementedError("graphs render whole images")

    def free(self, *values: Value | None) -> None:
        """The runtimes look after memory."""

    def blend(self, code: Value, laid: Value, overlay: Overlay[Value], side: int, name: str) -> Value:
        """See `blend.Blend`: standard operators for any number of references."""
        return self._blend_of(overlay, side).apply(code, laid, name)

    def ring(self, code: Value, maps: Value, laid: Value, overlay: Overlay[Value], layer: Conv) -> Value:
        """Where between all cells convolved and all cells pasted: these operators skip none."""
        name, (weight, bias) = layer.name, self.weights.conv(layer)
        pasted = self.blend(maps, laid, overlay, layer.side, f"{name}/pasted")
        made = self.dense(code, weight, bias, f"{name}/made", padding=1)
        nothing = self.weight(torch.tensor(0.0), "constant/0", torch.float32)
        near = self.node("Greater", [self.border(overlay, layer.side), nothing], f"{name}/near")
        return pasted._replace(name=self.node("Where", [near, made.name, pasted.name], name))

    def border(self, overlay: Overlay[Value], side: int) -> str:
        """N×1×r×r float32, above 0 on the cells that `ring` convolves."""
        return self._blend_of(overlay, side).border

    def add_constant(self, x: Value, value: Tensor, name: str) -> Value:
        """Add with an initializer."""
        return x._replace(name=self.node("Add", [x.name, self.weight(value, name)], f"{name}/add"))

    def pixel_norm(self, z: Value) -> Value:
        """In float32, whatever the precision."""
        name = "mapping_z.0"
        wide = self.to_float(z.name, name)
        square = self.node("Mul", [wide, wide], f"{name}/square")
        mean = self.node("ReduceMean", [square, self.integers([1])], f"{name}/mean")
        scale = self._rsqrt(mean, 1e-8, name)
        return z._replace(name=self.from_float(self.node("Mul", [wide, scale], f"{name}/normalized"), name))

    def linear(self, x: Value, layer: Linear) -> Value:
        """Gemm and LeakyRelu."""
        weight, bias = self.weights.linear(layer)
        assert bias is not None
        names = [self.weight(weight, f"{layer.name}.weight"), self.weight(bias, f"{layer.name}.bias")]
        out = self.node("Gemm", [x.name, *names], layer.name, transB=1)
        return self._leaky(Value(out, layer.outputs), SLOPE, layer.name)

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        """Reshape; the batch stays dynamic."""
        out = self.node("Reshape", [x.name, self.integers([-1, *shape])], "mapping_z/reshape")
        return Value(out, shape[0])

    def dense(
        self, x: Value, weight: Tensor, bias: Tensor | None, name: str, padding: int = 0, stride: int = 1
    ) -> Value:
        """A convolution over all channels: where nearly all the work is."""
        weights = [self.weight(weight, f"{name}.weight")]
        if bias is not None:
            weights.append(self.weight(bias, f"{name}.bias"))
        out = self.node("Conv", [x.name, *weights], name, **window_of(weight, padding, stride))
        return Value(out, len(weight))

    def phased(self, name: str) -> bool:
        """Whether an up convolution is computed by its four output phases.

        A transposed convolution is faster in ONNX Runtime (by a quarter to a half), but TensorRT has
        none in bfloat16.
        """
        return self.element_type == TensorProto.BFLOAT16

    def statistics(self, x: Value, norm: str, name: str) -> tuple[str, str, str]:
        """x − mean, mean and 1/deviation for a norm, float32; x of a GroupNorm as N×groups×…×1."""
        wide = self.to_float(x.name, name)
        if _grouped(x, norm):
            grouped = self.integers([0, GROUP_NORM_GROUPS, -1, 1])
            wide = self.node("Reshape", [wide, grouped], f"{name}/grouped")
        whole = norm == "LayerNorm"
        mean = self._mean(wide, whole, f"{name}/mean")
        centred = self.node("Sub", [wide, mean], f"{name}/centred")
        square = self.node("Mul", [centred, centred], f"{name}/square")
        return centred, mean, self._rsqrt(self._mean(square, whole, f"{name}/variance"), EPS, name)

    def _linear(self, x: Value, layer: Conv) -> Value:
        """Blur, convolution and bias of a layer."""
        name, (weight, bias) = layer.name, self.weights.conv(layer)
        if layer.mode is Mode.DOWN:
            blurred = self._blur(x, 1.0, f"{name}/blur", None, [2] * 4)
            return self.dense(blurred, weight, bias, name, stride=2)
        if layer.mode is Mode.PLAIN:
            return self.dense(x, weight, bias, name, padding=layer.size // 2)
        if self.phased(name):
            wide, pads = self._phases(x, weight, name), [1, 1, 0, 0]
        else:
            taps = self.weight(weight.transpose(0, 1), f"{name}.weight")
            window = window_of(weight, padding=0, stride=2)
            wide, pads = (
                Value(self.node("ConvTranspose", [x.name, taps], name, **window), len(weight)),
                [1] * 4,
            )
        return self._blur(wide, 4.0, f"{name}/blur", bias, pads)

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

    def _styled(self, x: Value, layer: Styled, skip: Value | None) -> Features[Value, str | None]:
        y = self.conv(x, layer.conv)
        if skip is not None:
            assert layer.skip is not None
            y = self._add(y, self._upsample(skip, f"{layer.skip.name}/blur"), _block_of(layer.conv))
        return Features(y, layer.norm)

    def _modulated_by(self, x: Features[Value, str | None], maps: Value, layer: Styled) -> Value:
        name = layer.conv.name
        gamma, beta = self._split(maps, (layer.conv.inputs, layer.conv.inputs), layer.maps.name)
        scaled = self._multiply(self._normal(x, name), gamma, f"{name}/scale")
        return self._add(scaled, beta, f"{name}/shift")

    def _normal(self, x: Features[Value, str | None], name: str) -> Value:
        """Normalised features."""
        if x.statistics is None:
            return x.x
        name = f"{name}/norm"
        centred, _, scale = self.statistics(x.x, x.statistics, name)
        out = self.node("Mul", [centred, scale], f"{name}/normalized")
        if _grouped(x.x, x.statistics):
            like = self.node("Shape", [x.x.name], f"{name}/shape")
            out = self.node("Reshape", [out, like], f"{name}/ungrouped")
        return x.x._replace(name=self.from_float(out, name))

    def _mean(self, x: str, whole: bool, name: str) -> str:
        """Over dimensions 2 and 3, and over 1 if ``whole``."""
        # Two steps: over all of C×H×W at once ONNX Runtime sums millions of values one after the other, an
        # error of 3e-4 in a 256×256 image. LayerNormalization and ReduceSumSquare are no faster.
        mean = self.node("ReduceMean", [x, self.integers([2, 3])], name)
        return self.node("ReduceMean", [mean, self.integers([1])], f"{name}/channels") if whole else mean

    def _rsqrt(self, x: str, eps: float, name: str) -> str:
        small = self.weight(torch.tensor(eps), "eps", torch.float32)
        root = self.node("Sqrt", [self.node("Add", [x, small], f"{name}/stabilized")], f"{name}/deviation")
        return self.node("Reciprocal", [root], f"{name}/scale")

    def _upsample(self, x: Value, name: str) -> Value:
        """A zero after every sample, blur of gain 4 with padding (2, 1)."""
        # Up by 2 the blur is bilinear interpolation with zeros around the image. As a depthwise transposed
        # convolution it would take ONNX Runtime a tenth of a decode longer.
        border = self.integers([0, 0, 1, 1, 0, 0, 1, 1])
        wide = self.node("Pad", [x.name, border], f"{name}/pad")
        scales = self.weight(torch.tensor([1.0, 1.0, 2.0, 2.0]), "scales", torch.float32)
        linear: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        wide = self.node("Resize", [wide, "", scales], f"{name}/resize", **linear)
        crop = [self.integers([2, 2]), self.integers([-2, -2]), self.integers([2, 3])]
        return x._replace(name=self.node("Slice", [wide, *crop], name))

    def _blur(
        self, x: Value, gain: float, name: str, bias: Tensor | None, pads: list[int], stride: int = 1
    ) -> Value:
        weights = [self.weight(blur_kernel(gain).expand(x.channels, 1, 4, 4), f"{name}.weight")]
        if bias is not None:
            weights.append(self.weight(bias, f"{name}.bias"))
        window: dict[str, Any] = {"kernel_shape": [4, 4], "pads": pads, "strides": [stride, stride]}
        return x._replace(name=self.node("Conv", [x.name, *weights], name, group=x.channels, **window))

    def _activated(self, x: Value, layer: Conv) -> Value:
        return x if layer.slope == 1 else self._leaky(x, layer.slope, layer.name)

    def _leaky(self, x: Value, slope: float, name: str) -> Value:
        return x._replace(name=self.node("LeakyRelu", [x.name], f"{name}/activate", alpha=slope))

    def _add(self, a: Value, b: Value, name: str) -> Value:
        return a._replace(name=self.node("Add", [a.name, b.name], name))

    def _multiply(self, a: Value, b: Value, name: str) -> Value:
        return a._replace(name=self.node("Mul", [a.name, b.name], name))

    def _split(self, maps: Value, sizes: Sequence[int], name: str) -> list[Value]:
        """γ and β, along the channels."""
        lengths = self.integers(list(sizes))
        first = self.node("Split", [maps.name, lengths], f"{name}/split", outputs=len(sizes), axis=1)
        stem = first.removesuffix(".0")
        return [Value(f"{stem}.{index}", size) for index, size in enumerate(sizes)]

    def _blend_of(self, overlay: Overlay[Value], side: int) -> Blend:
        if side not in self._blends:
            self._blends[side] = Blend(self, overlay, side)
        return self._blends[side]


def _grouped(x: Value, norm: str) -> bool:
    """Whether statistics are of several channels at once, but not of all."""
    return norm == "GroupNorm" and x.channels != GROUP_NORM_GROUPS


def window_of(weight: Tensor, padding: int, stride: int) -> dict[str, Any]:
    """Attributes of a convolution."""
    return {"kernel_shape": list(weight.shape[2:]), "pads": [padding] * 4, "strides": [stride] * 2}


def _block_of(layer: Conv) -> str:
    """The name of the residual block that ends with a layer."""
    return layer.name.rpartition("/")[0]
