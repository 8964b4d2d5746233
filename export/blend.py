"""The interactive blend (docs/network.md section 8) as ONNX nodes, for any number of references.

Laying R references over a code one after the other, where the shifted mask k is on with weight α, is a
sum: with a_k = α where mask k is on and 0 elsewhere,

    code · Π_k (1 − a_k) + Σ_k reference_k · a_k · Π_{j>k} (1 − a_j),

so that R can be a dynamic dimension. The products are taken over a dimension, not by powers: they stay
exact for α = 0 and α = 1 and defined for weights above 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from onnx import TensorProto

from stylemap.export.nodes import Nodes, Value
from stylemap.program import Overlay


class Blend:
    """What the codes of one side r share: where each of the r² cells comes from, and the weights."""

    def __init__(self, graph: Nodes, overlay: Overlay[Value], side: int) -> None:
        self.graph = graph
        self.side = side
        self.name = f"blend/{side}"
        source, inside = self._source(overlay)
        self.amount = self._amount(overlay, source, inside)
        self._moved_from = source

    @cached_property
    def source(self) -> str:
        """N×R×1×r²: as `_source`."""
        return self._node("Unsqueeze", "source", self._moved_from, self._integers([2]))

    @cached_property
    def keep(self) -> str:
        """N×1×r×r: how much of the original stays."""
        return self.graph.from_float(self._keep(self.amount), f"{self.name}/keep")

    @cached_property
    def take(self) -> str:
        """N×R×1×r×r: how much of each reference is taken."""
        return self.graph.from_float(self._take(self.amount), f"{self.name}/take")

    @cached_property
    def border(self) -> str:
        """N×1×r×r float32: above 0 where a 3×3 neighbourhood, nothing beyond the frame, is not all alike.

        Elsewhere all nine cells are the same mixture of the same images, moved alike, so that a
        convolution of the mixture is the mixture of their convolutions.
        """
        around = self._integers([0, 0, 1, 1, 0, 0, 1, 1])
        wide = self._node("Pad", "framed", self.amount, around)
        window = {"kernel_shape": [3, 3], "strides": [1, 1]}
        most = self._node("MaxPool", "most", wide, **window)
        least = self._node("MaxPool", "least", self._node("Neg", "negated", wide), **window)
        spread = self._node("Add", "spread", most, least)
        return self._node("ReduceMax", "border", spread, self._integers([1]), keepdims=1)

    def apply(self, code: Value, laid: Value, name: str) -> Value:
        """code N×C×r×r with the references N×R×C×r×r laid over it."""
        side, channels = self.side, code.channels
        source, keep, take = self.source, self.keep, self.take  # named after what the codes share
        shared, self.name = self.name, name
        index = self._node("Expand", "index", source, self._integers([1, 1, channels, 1]))
        flat = self._node("Reshape", "flat", laid.name, self._integers([0, 0, channels, side * side]))
        flat = self._node("GatherElements", "moved", flat, index, axis=3)
        moved = self._node("Reshape", "planes", flat, self._integers([0, 0, channels, side, side]))
        parts = self._node("Mul", "parts", moved, take)
        references = self._node("ReduceSum", "references", parts, self._integers([1]), keepdims=0)
        original = self._node("Mul", "original", code.name, keep)
        self.name = shared
        return code._replace(name=self.graph.node("Add", [original, references], name))

    def _source(self, overlay: Overlay[Value]) -> tuple[str, str]:
        """N×R×r²: the cell of the reference that comes to lie on each cell, and whether there is one.

        The shift is in pixels; in cells it is truncated toward zero.
        """
        side, shifts = self.side, overlay.shifts.name
        whole = self._node(
            "Div", "whole", self._node("Abs", "distance", shifts), self._integers(overlay.size // side)
        )
        cells = self._node("Mul", "cells", self._node("Sign", "direction", shifts), whole)
        columns, in_columns = self._along("x", cells, component=0, axis=2)
        rows, in_rows = self._along("y", cells, component=1, axis=3)
        flat = self._integers([0, 0, side * side])
        first = self._node("Mul", "first_of_row", rows, self._integers(side))
        source = self._node("Add", "source_cell", first, columns)
        inside = self._node("And", "inside", in_rows, in_columns)
        return (
            self._node("Reshape", "source_cells", source, flat),
            self._node("Reshape", "inside_cells", inside, flat),
        )

    def _along(self, name: str, cells: str, component: int, axis: int) -> tuple[str, str]:
        """For one coordinate: where each of the r positions comes from, limited to the frame, and whether
        it needed no limiting. N×R×r with a dimension of 1 put in at ``axis``."""
        step = self._node("Gather", f"{name}/step", cells, self._integers([component]), axis=2)
        start = self._node("Sub", f"{name}/start", self._integers(list(range(self.side))), step)
        limits = self._integers(0), self._integers(self.side - 1)
        index = self._node("Clip", f"{name}/index", start, *limits)
        inside = self._node("Equal", f"{name}/inside", index, start)
        where = self._integers([axis])
        return (
            self._node("Unsqueeze", f"{name}/indices", index, where),
            self._node("Unsqueeze", f"{name}/insides", inside, where),
        )

    def _amount(self, overlay: Overlay[Value], source: str, inside: str) -> str:
        """a_k, N×R×r×r: the weight where the pooled and shifted mask is on, else 0."""
        side, factor = self.side, overlay.size // self.side
        mask = overlay.masks.name
        if factor > 1:
            window = {"kernel_shape": [factor] * 2, "strides": [factor] * 2, "pads": [0] * 4}
            mask = self._node("AveragePool", "coverage", mask, **window)
        flat = self._node("Reshape", "flat", mask, self._integers([0, 0, side * side]))
        moved = self._node("GatherElements", "moved", flat, source, axis=2)
        on = self._node("Greater", "covered", moved, self._number(0.5))
        on = self._node("Cast", "on", self._node("And", "visible", on, inside), to=TensorProto.FLOAT)
        weights = self._node("Reshape", "weights", overlay.weights.name, self._integers([-1, 1, 1]))
        amount = self._node("Mul", "amounts", on, weights)
        return self._node("Reshape", "amount", amount, self._integers([0, 0, side, side]))

    def _keep(self, amount: str) -> str:
        """Π_k (1 − a_k), N×1×r×r."""
        left = self._node("Sub", "left", self._number(1), amount)
        return self._node("ReduceProd", "kept", left, self._integers([1]))

    def _take(self, amount: str) -> str:
        """a_k · Π_{j>k} (1 − a_j), N×R×1×r×r."""
        left = self._node("Sub", "left", self._number(1), amount)
        shape = self._node("Shape", "references", amount, start=1, end=2)
        count = self._node("Squeeze", "count", shape, self._integers([0]))
        order = self._node("Range", "order", self._integers(0), count, self._integers(1))
        rank = self._node("Unsqueeze", "rank", order, self._integers([1]))
        # k×j×1×1 against N×1×R×r×r
        later = self._node(
            "Unsqueeze", "later", self._node("Greater", "j>k", order, rank), self._integers([2, 3])
        )
        others = self._node("Unsqueeze", "others", left, self._integers([1]))
        others = self._node("Where", "later_left", later, others, self._number(1))
        rest = self._node("ReduceProd", "uncovered", others, self._integers([2]), keepdims=0)
        return self._node("Unsqueeze", "taken", self._node("Mul", "take", amount, rest), self._integers([2]))

    def _node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.node(kind, inputs, f"{self.name}/{name}", **attributes)

    def _integers(self, values: list[int] | int) -> str:
        return self.graph.integers(values)

    def _number(self, value: float) -> str:
        return self.graph.weight(torch.tensor(value), f"constant/{value:g}", torch.float32)
