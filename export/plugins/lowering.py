"""The network for TensorRT, with plugins in place of some nodes: what an engine is built from, never kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto

from stylemap.export.lowering import OnnxLowering
from stylemap.export.nodes import Value
from stylemap.export.plugins import NAMESPACE
from stylemap.export.plugins.recipes import takes_modulation, takes_ring
from stylemap.ops.reference import GROUP_NORM_GROUPS
from stylemap.program import Conv, Features, Folded, Overlay, Styled, Weights


class PluginLowering(OnnxLowering):
    """The network with the plugins of these names, where they take the shapes."""

    def __init__(self, weights: Weights, precision: str, names: Sequence[str]) -> None:
        super().__init__(weights, precision)
        self.names = names
        self._moves: dict[int, tuple[str, str]] = {}

    def modulated(self, x: Features[Value, str | None], code: Value, layer: Styled) -> Value:
        # The constant is one for all images, which the plugin does not take.
        """One node "modulation": neither γ nor β is written."""
        constant = layer.index == 0
        if constant or "modulation" not in self.names or not takes_modulation(code.channels, x.x.channels):
            return super().modulated(x, code, layer)
        name, (weight, bias) = layer.conv.name, self.weights.conv(layer.maps)
        assert bias is not None
        inputs = [x.x.name, code.name]
        for part, taps, offset in zip(("gamma", "beta"), weight.chunk(2), bias.chunk(2)):
            inputs += self._taps(Folded(taps, offset), f"{name}/{part}")
        inputs += self._flat_statistics(x, f"{name}/norm")
        return x.x._replace(name=self._plugin("modulation", inputs, name))

    def blend(self, code: Value, laid: Value, overlay: Overlay[Value], side: int, name: str) -> Value:
        """One node "blend" in place of all that `blend.Blend` adds."""
        if "blend" not in self.names:
            return super().blend(code, laid, overlay, side, name)
        coverage, cells = self._move(overlay, side)
        inputs = [code.name, laid.name, coverage, cells, overlay.weights.name]
        return code._replace(name=self._plugin("blend", inputs, name))

    def ring(self, code: Value, maps: Value, laid: Value, overlay: Overlay[Value], layer: Conv) -> Value:
        """One node "ring", which convolves only tiles that hold cells of the border."""
        if "ring" not in self.names or not takes_ring(code.channels):
            return super().ring(code, maps, laid, overlay, layer)
        side, name = layer.side, layer.name
        inputs = [code.name, maps.name, laid.name, *self._move(overlay, side), overlay.weights.name]
        inputs += [self.border(overlay, side), *self._taps(self.weights.conv(layer), name)]
        return maps._replace(name=self._plugin("ring", inputs, name))

    def _taps(self, folded: Folded, name: str) -> list[str]:
        """Weight and bias; a step along the depth of the product is the next channel of a tap."""
        taps = folded.weight.permute(0, 2, 3, 1).flatten(1, 2)
        assert folded.bias is not None
        return [self.weight(taps, f"{name}.weight"), self.weight(folded.bias, f"{name}.bias")]

    def _flat_statistics(self, x: Features[Value, str | None], name: str) -> list[str]:
        """Mean and 1/deviation, float32: N×groups, or 0 and 1 for each channel where there is no norm."""
        channels, norm = x.x.channels, x.statistics
        if norm is None:
            neutral = torch.zeros(channels), torch.ones(channels)
            return [self.weight(value, f"{name}/{value[0]:g}", torch.float32) for value in neutral]
        groups = {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS, "InstanceNorm2d": channels}[norm]
        _, mean, scale = self.statistics(x.x, norm, name)
        flat = self.integers([0, groups])
        return [
            self.node("Reshape", [mean, flat], f"{name}/means"),
            self.node("Reshape", [scale, flat], f"{name}/scales"),
        ]

    def _move(self, overlay: Overlay[Value], side: int) -> tuple[str, str]:
        """How much of every cell the masks cover, N×R×r×r float32; shifts in cells, N×R×2 int32."""
        if side not in self._moves:
            name, factor = f"blend/{side}", overlay.size // side
            coverage = overlay.masks.name
            if factor > 1:
                square = [factor] * 2
                window: dict[str, Any] = {"kernel_shape": square, "strides": square, "pads": [0] * 4}
                coverage = self.node("AveragePool", [coverage], f"{name}/coverage", **window)
            distance = self.node("Abs", [overlay.shifts.name], f"{name}/distance")
            whole = self.node("Div", [distance, self.integers(factor)], f"{name}/whole")
            direction = self.node("Sign", [overlay.shifts.name], f"{name}/direction")
            cells = self.node("Mul", [direction, whole], f"{name}/cells")
            self._moves[side] = coverage, self.node("Cast", [cells], f"{name}/shift", to=TensorProto.INT32)
        return self._moves[side]

    def _plugin(self, kind: str, inputs: Sequence[str], name: str) -> str:
        # TensorRT's parser finds a plugin by its name and these.
        found: dict[str, Any] = {"plugin_namespace": NAMESPACE, "plugin_version": "1", "aot": 1}
        return self.node(kind, inputs, name, domain=NAMESPACE, **found)
