"""A convolution with bias and activation as one graph of cuDNN, by the package nvidia-cudnn-frontend."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor


def conv_act(x: Tensor, weight: Tensor, bias: Tensor, negative_slope: float) -> Callable[[], Tensor]:
    """What runs leaky_relu(conv(x, weight) + bias), 3×3 with padding 1, into a tensor of its own.

    The graph and its plan are made once, here: cuDNN's heuristics choose the plan.

    Args:
        x: N×C×H×W; weight: out×C×3×3, both channels_last of float16 or bfloat16; bias: out.

    Raises:
        ImportError: the package is not installed.
        NotImplementedError: cuDNN has no kernel for the graph.
    """
    if importlib.util.find_spec("cudnn") is None:
        raise ImportError("nvidia-cudnn-frontend is not installed")
    cudnn = importlib.import_module("cudnn")
    kind = {torch.float16: cudnn.data_type.HALF, torch.bfloat16: cudnn.data_type.BFLOAT16}[x.dtype]
    wide = cudnn.data_type.FLOAT
    graph = cudnn.pygraph(io_data_type=kind, intermediate_data_type=wide, compute_data_type=wide)
    y = x.new_empty(x.shape[0], weight.shape[0], *x.shape[2:])
    y = y.contiguous(memory_format=torch.channels_last)
    operands = {"x": x, "weight": weight, "bias": bias.reshape(1, -1, 1, 1)}
    ports = {
        name: graph.tensor(name=name, dim=list(t.shape), stride=list(t.stride()), data_type=kind)
        for name, t in operands.items()
    }
    one = [1, 1]
    made = graph.conv_fprop(image=ports["x"], weight=ports["weight"], padding=one, stride=one, dilation=one)
    shifted = graph.bias(input=made, bias=ports["bias"])
    out = graph.leaky_relu(input=shifted, negative_slope=negative_slope)
    out.set_output(True).set_data_type(kind)
    try:
        graph.build([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    except Exception as refused:  # a rival that fails must not end the measurement of the others
        raise NotImplementedError(f"cuDNN: {refused}") from refused
    workspace = torch.empty(max(graph.get_workspace_size(), 1), dtype=torch.uint8, device=x.device)
    buffers = {ports[name]: operand for name, operand in operands.items()} | {out: y}
    handle = cudnn.create_handle()

    def run() -> Tensor:
        # The current stream: a CUDA graph is captured on one of its own.
        cudnn.set_stream(handle=handle, stream=torch.cuda.current_stream(x.device).cuda_stream)
        graph.execute(buffers, workspace, handle=handle)
        return y

    return run


class Late:
    """Makes what it runs at its first call: a rival that is not installed is one that cannot be measured."""

    def __init__(self, make: Callable[[], Callable[[], Tensor]]) -> None:
        self._make = make
        self._run: Callable[[], Tensor] | None = None

    def __call__(self) -> Tensor:
        """Raises what making it raises."""
        if self._run is None:
            self._run = self._make()
        return self._run()
