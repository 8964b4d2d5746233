"""The network in plain PyTorch, as a session: for precisions that no other runtime here has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylemap.export import graphs, ports
from stylemap.export.description import Description
from stylemap.export.sessions.base import Session
from stylemap.model import StyleMapGAN
from stylemap.program import PlainLowering, Weights


class PlainSession(Session):
    """Computes a graph of ``model`` in the dtype given, every intermediate result rounded to it."""

    def __init__(self, model: StyleMapGAN, description: Description, dtype: torch.dtype) -> None:
        self.model = model
        self.description = description
        self.lowering = PlainLowering(Weights(model), dtype)
        self.provider = f"PyTorch in {str(dtype).removeprefix('torch.')}"
        self.device = torch.device("cpu")

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`."""
        graph, config = self.description.graph, self.model.config
        values = {
            port.name: inputs[port.name].to(self.lowering.dtype)
            if port.kind == "float"
            else inputs[port.name]
            for port in ports.inputs(graph, config)
        }
        results = graphs.compute(self.lowering, self.model, graph, values)
        return {port.name: result.float() for port, result in zip(ports.outputs(graph, config), results)}
