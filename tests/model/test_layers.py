"""Layers against the formulas of docs/network.md section 1, written out with PyTorch's own convolutions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.model.layers import ConvLayer, EqualLinear, ResBlock, blur_kernel
from tests.helpers.tolerances import assert_elements_close

pytestmark = pytest.mark.usefixtures("one_thread")

FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
FILTER = torch.outer(FILTER, FILTER) / 64


def blurred(x: Tensor, padding: tuple[int, int], gain: float) -> Tensor:
    before, after = padding
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, gain * FILTER.expand(x.shape[1], 1, 4, 4), groups=x.shape[1])


def activated(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2)


def specified(layer: ConvLayer, x: Tensor, size: int, mode: str, activate: bool) -> Tensor:
    """ConvLayer as docs/network.md section 1 writes it, with strided convolutions in the 1×1 skips too."""
    state = layer.state_dict()
    (weight,) = (t for key, t in state.items() if key.endswith("weight"))
    weight = weight / math.sqrt(weight.shape[1] * size**2)
    if mode == "plain":
        x = F.conv2d(x, weight, padding=size // 2)
    elif mode == "down":
        x = F.conv2d(blurred(x, (2, 2) if size == 3 else (1, 1), 1), weight, stride=2)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = blurred(x, (1, 1) if size == 3 else (2, 2), 4)
    if activate:
        (bias,) = (t for key, t in state.items() if key.endswith("bias"))
        x = activated(x, bias)
    return x


KEYS = {
    "plain": ["0.weight", "1.bias"],
    "down": ["0.kernel", "1.weight", "2.bias"],
    "up": ["0.weight", "1.kernel", "2.bias"],
}


@pytest.mark.parametrize("mode", ["plain", "down", "up"])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 3, 4, 16), (3, 3, 2, 2)])
def test_conv_layer(mode: str, size: int, activate: bool, shape: tuple[int, ...]) -> None:
    layer = ConvLayer(3, 5, size, mode=mode, activate=activate).double()  # type: ignore[arg-type]
    assert list(layer.state_dict()) == KEYS[mode][: None if activate else -1]
    if activate:
        torch.nn.init.normal_(layer[-1].bias)  # type: ignore[arg-type]
    x = torch.randn(shape, dtype=torch.float64)
    y = layer(x)
    factor = {"plain": 1, "down": 0.5, "up": 2}[mode]
    assert y.shape == (shape[0], 5, int(shape[2] * factor), int(shape[3] * factor))
    assert_elements_close(y, specified(layer, x, size, mode, activate), "layer", "fp64")


def test_res_block() -> None:
    block = ResBlock(3, 5).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    h = specified(block.conv1, x, 3, "plain", True)
    h = specified(block.conv2, h, 3, "down", True)
    expected = (h + specified(block.skip, x, 1, "down", False)) / math.sqrt(2)
    assert_elements_close(block(x), expected, "layer", "fp64")


@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize("lr_mul", [1.0, 0.01])
def test_equal_linear(lr_mul: float, activate: bool) -> None:
    layer = EqualLinear(6, 4, lr_mul, activate).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 6, dtype=torch.float64)
    expected = x @ (layer.weight * lr_mul / math.sqrt(6)).T
    bias = layer.bias * lr_mul
    expected = activated(expected, bias) if activate else expected + bias
    assert_elements_close(layer(x), expected, "layer", "fp64")


def test_initial_weights() -> None:
    """Stored weights are N(0, 1/lr_mul²), so that scaled outputs keep the variance of their input."""
    torch.manual_seed(0)
    assert EqualLinear(200, 200, 0.01).weight.std().item() == pytest.approx(100, rel=0.02)
    assert ConvLayer(64, 64, 3)[0].weight.std().item() == pytest.approx(1, rel=0.02)  # type: ignore[operator, union-attr]
    x = torch.randn(2, 64, 32, 32)
    assert ConvLayer(64, 64, 3)(x)[:, :, 1:-1, 1:-1].square().mean().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gain", [1, 4])
def test_blur_kernel_is_exact_in_half_precision(dtype: torch.dtype, gain: int) -> None:
    kernel = blur_kernel(gain)
    assert kernel.sum().item() == gain
    assert torch.equal(kernel.double(), gain * FILTER)
    assert torch.equal(kernel.to(dtype).float(), kernel)
