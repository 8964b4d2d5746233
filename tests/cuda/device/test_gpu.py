"""What takes a real GPU: graph capture, streams, more than 2^31 elements."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import passes, reference
from tests.cuda.device.test_passes import FILTER, last, weight
from tests.ops.common import tensor

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.get_default_device().type != "cuda", reason="needs a GPU"),
]


def network_runs() -> dict[str, Callable[[], Tensor]]:
    x, w, bias = last(2, 16, 12, 12, dtype=torch.float16), weight(16, 16, 3, torch.float16), tensor(16).half()
    skip, grad = last(2, 16, 6, 6, dtype=torch.float16), last(2, 16, 12, 12, dtype=torch.float16, seed=3)
    mean, rstd = torch.zeros(2, 1), torch.ones(2, 1)
    rgb, color = tensor(3, 16, dtype=torch.float16), tensor(3, dtype=torch.float16)
    stylemap = torch.ops.stylemap
    return {
        "bias_act": lambda: ops.bias_act(x, bias),
        "upfirdn2d": lambda: ops.upfirdn2d(x, FILTER, up=2, padding=(2, 1)),
        "modulate": lambda: ops.modulate(x, grad, grad),
        "modulate_backward": lambda: stylemap.modulate_backward(grad, x, x, mean, rstd, 1, False)[0],
        "modulated_conv2d": lambda: ops.modulated_conv2d(x, x, w, bias, w, bias, w, bias, filter=4 * FILTER),
        "conv_act": lambda: (
            passes.conv_act(
                x, w, bias, skip=skip, next_norm="LayerNorm", implementation="tensor_cores_64"
            ).rstd
        ),
        "modulated_rgb": lambda: passes.modulated_rgb(x, grad, grad[:, :3], mean, rstd, rgb, color),
        "skip_add": lambda: passes.skip_add(x, skip, next_norm="LayerNorm").rstd,
    }


@torch.no_grad()
def test_graphs_replay_what_was_captured() -> None:
    for name, run in network_runs().items():
        eager = run()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run()
        result.zero_()
        graph.replay()
        assert torch.equal(result, eager), name


@torch.no_grad()
def test_kernels_run_on_the_current_stream() -> None:
    """Every operator queues behind a stream that is busy, and starts nothing on another one."""
    for name, run in network_runs().items():
        expected = run()
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()  # operands are made and copied before the stream begins to wait
        with torch.cuda.stream(stream):
            torch.cuda._sleep(200_000_000)
            y = run()
        queued = not stream.query()
        assert torch.cuda.default_stream().query(), name
        stream.synchronize()
        assert queued, f"{name} waited for the device"
        assert torch.equal(y, expected), name


@torch.no_grad()
def test_no_choice_is_made_during_capture() -> None:
    x, w = last(1, 16, 7, 9, dtype=torch.float16), weight(8, 16, 3, torch.float16)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="before capturing a graph"), torch.cuda.graph(graph):
        passes.conv_act(x, w)


@torch.no_grad()
def test_more_than_two_to_the_31_elements() -> None:
    """Batch 64 of 1024 x 1024: the last sample against the definition."""
    shape, free = (66, 32, 1024, 1024), torch.cuda.mem_get_info()[0]
    if free < 40 << 30:
        pytest.skip("takes 40 GiB")
    x = torch.empty(shape, dtype=torch.float16, memory_format=torch.channels_last).normal_()
    assert x.numel() > 2**31
    end, bias = x[-1:], tensor(32).half()
    checks = {
        "bias_act": (ops.bias_act(x, bias)[-1:], reference.bias_act(end, bias)),
        "blur": (
            ops.upfirdn2d(x, FILTER / 4, padding=(2, 1))[-1:],
            reference.upfirdn2d(end.float(), FILTER / 4, padding=(2, 1, 2, 1)),
        ),
        "modulate": (ops.modulate(x, x, x)[-1:], reference.modulate(end.float(), end.float(), end.float())),
        "blend": (ops.blend(x, x[:1], torch.ones(1024, 1024) > 0)[-1:], x[:1]),
    }
    for name, (actual, expected) in checks.items():
        error = (actual.float() - expected.float()).norm() / expected.float().norm()
        assert float(error) < 1e-3, name
