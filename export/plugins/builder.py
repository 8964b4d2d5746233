"""Graphs for TensorRT with plugins in place of some nodes: what an engine is built from, never kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto

from stylemap.export.fold import EPS, Folded
from stylemap.export.graph import GraphBuilder
from stylemap.export.network import Layers
from stylemap.export.nodes import Value
from stylemap.export.plugins import NAMESPACE, recipes
from stylemap.ops.reference import GROUP_NORM_GROUPS


class PluginBuilder(GraphBuilder):
    """Builds graphs with the plugins of these names, where they take the shapes."""

    def __init__(self, precision: str, names: Sequence[str]) -> None:
        super().__init__(precision)
        self.names = names
        self._moves: dict[int, tuple[str, str]] = {}

    def modulate(self, x: Value, code: Value, both: Folded, mode: str | None, name: str) -> Value:
        if "modulation" not in self.names or not recipes.takes_modulation(code.channels, x.channels):
            return super().modulate(x, code, both, mode, name)
        inputs = [x.name, code.name]
        for part, weight, bias in zip(("gamma", "beta"), both.weight.chunk(2), both.bias.chunk(2)):
            inputs += self._taps(Folded(weight, bias), f"{name}/{part}")
        inputs += self._statistics(x, mode, f"{name}/norm")
        return x._replace(name=self._plugin("modulation", inputs, name))

    def blend(self, code: Value, laid: Value, layers: Layers[Value], side: int, name: str) -> Value:
        if "blend" not in self.names:
            return super().blend(code, laid, layers, side, name)
        coverage, cells = self._move(layers, side)
        inputs = [code.name, laid.name, coverage, cells, layers.weights.name]
        return code._replace(name=self._plugin("blend", inputs, name))

    def ring(
        self, code: Value, maps: Value, laid: Value, layers: Layers[Value], both: Folded, side: int, name: str
    ) -> Value:
        if "ring" not in self.names or not recipes.takes_ring(code.channels):
            return super().ring(code, maps, laid, layers, both, side, name)
        inputs = [code.name, maps.name, laid.name, *self._move(layers, side), layers.weights.name]
        inputs += [self.border(layers, side), *self._taps(both, name)]
        return maps._replace(name=self._plugin("ring", inputs, name))

    def _taps(self, folded: Folded, name: str) -> list[str]:
        """Weight and bias; a step along the depth of the product is the next channel of a tap."""
        taps = folded.weight.permute(0, 2, 3, 1).flatten(1, 2)
        return [self.weight(taps, f"{name}.weight"), self.weight(folded.bias, f"{name}.bias")]

    def _statistics(self, x: Value, mode: str | None, name: str) -> list[str]:
        """Mean and 1/deviation, float32: N×groups, or 0 and 1 for each channel where they are folded."""
        if mode is None:
            neutral = torch.zeros(x.channels), torch.ones(x.channels)
            return [self.weight(value, f"{name}/{value[0]:g}", torch.float32) for value in neutral]
        groups = {"LayerNorm": 1, "GroupNorm": GROUP_NORM_GROUPS, "InstanceNorm2d": x.channels}[mode]
        wide = self.to_float(x.name, name)
        if mode == "GroupNorm":
            wide = self.node("Reshape", [wide, self.integers([0, groups, -1, 1])], f"{name}/grouped")
        mean = self._mean(wide, groups == 1, f"{name}/mean")
        centred = self.node("Sub", [wide, mean], f"{name}/centred")
        square = self.node("Mul", [centred, centred], f"{name}/square")
        scale = self._rsqrt(self._mean(square, groups == 1, f"{name}/variance"), EPS, name)
        flat = self.integers([0, groups])
        return [
            self.node("Reshape", [mean, flat], f"{name}/means"),
            self.node("Reshape", [scale, flat], f"{name}/scales"),
        ]

    def _move(self, layers: Layers[Value], side: int) -> tuple[str, str]:
        """How much of every cell the masks cover, N×R×r×r float32; shifts in cells, N×R×2 int32."""
        if side not in self._moves:
            name, factor = f"blend/{side}", layers.size // side
            coverage = layers.masks.name
            if factor > 1:
                square = [factor] * 2
                window: dict[str, Any] = {"kernel_shape": square, "strides": square, "pads": [0] * 4}
                coverage = self.node("AveragePool", [coverage], f"{name}/coverage", **window)
            distance = self.node("Abs", [layers.shifts.name], f"{name}/distance")
            whole = self.node("Div", [distance, self.integers(factor)], f"{name}/whole")
            direction = self.node("Sign", [layers.shifts.name], f"{name}/direction")
            cells = self.node("Mul", [direction, whole], f"{name}/cells")
            self._moves[side] = coverage, self.node("Cast", [cells], f"{name}/shift", to=TensorProto.INT32)
        return self._moves[side]

    def _plugin(self, kind: str, inputs: Sequence[str], name: str) -> str:
        # TensorRT's parser finds a plugin by its name and these.
        found: dict[str, Any] = {"plugin_namespace": NAMESPACE, "plugin_version": "1", "aot": 1}
        return self.node(kind, inputs, name, domain=NAMESPACE, **found)
