"""ModulatedConv2d against docs/network.md section 5, with PyTorch's own norms."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.config import NORMALIZE_MODES
from stylemap.model.modulation import StyledConv
from tests.helpers.tolerances import assert_elements_close
from tests.model.test_layers import activated, blurred

pytestmark = pytest.mark.usefixtures("one_thread")

C, OUT, STYLE = 16, 5, 3


def layer(mode: str, size: int = 3, up: bool = False) -> StyledConv:
    torch.manual_seed(1)
    made = StyledConv(C, OUT, size, STYLE, mode, up).double()
    for p in made.parameters():
        nn.init.normal_(p)
    return made


def norm(mode: str) -> nn.Module:
    """PyTorch's norm of that name; LayerNorm over C, H, W is GroupNorm of one group."""
    made = {
        "LayerNorm": nn.GroupNorm(1, C, affine=False),
        "GroupNorm": nn.GroupNorm(8, C, affine=False),
        "InstanceNorm2d": nn.InstanceNorm2d(C),
        "BatchNorm2d": nn.BatchNorm2d(C, affine=False),
    }[mode]
    return made.double()


def specified(styled: StyledConv, normalise: nn.Module, x: Tensor, style: Tensor, up: bool) -> Tensor:
    conv, size = styled.conv, styled.conv.weight.shape[-1]
    scale = 1 / math.sqrt(STYLE * 9)
    gamma = F.conv2d(style, conv.gamma.weight * scale, conv.gamma.bias, padding=1)
    beta = F.conv2d(style, conv.beta.weight * scale, conv.beta.bias, padding=1)
    y = normalise(x) * gamma + beta
    weight = conv.weight[0] / math.sqrt(C * size**2)
    if up:
        y = blurred(F.conv_transpose2d(y, weight.transpose(0, 1), stride=2), (1, 1), 4)
    else:
        y = F.conv2d(y, weight, padding=size // 2)
    return activated(y, styled.activate.bias)


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(3, C, 6, 6, dtype=torch.float64) * 3 + 1
    return x, torch.randn(3, STYLE, 6, 6, dtype=torch.float64)


@pytest.mark.parametrize("mode", NORMALIZE_MODES)
@pytest.mark.parametrize(("size", "up"), [(3, False), (3, True), (1, False)])
@pytest.mark.parametrize("training", [True, False])
def test_styled_conv(mode: str, size: int, up: bool, training: bool) -> None:
    styled, normalise = layer(mode, size, up).train(training), norm(mode).train(training)
    if mode == "BatchNorm2d":
        for statistics in (styled.conv.norm, normalise):
            assert isinstance(statistics, nn.BatchNorm2d)
            assert statistics.running_mean is not None
            assert statistics.running_var is not None
            statistics.running_mean.copy_(torch.linspace(-1, 1, C))
            statistics.running_var.copy_(torch.linspace(0.5, 2, C))
    x, style = inputs()
    expected = specified(styled, normalise, x, style, up)
    assert_elements_close(styled(x, style), expected, "layer", "fp64")


def test_batch_norm_keeps_running_statistics() -> None:
    styled, reference = layer("BatchNorm2d").train(), norm("BatchNorm2d").train()
    x, style = inputs()
    for batch in (x, x[:1] * 2, x + 1):
        styled(batch, style[: len(batch)])
        reference(batch)
    mine = styled.conv.norm
    assert mine is not None
    assert mine.num_batches_tracked == 3
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert_elements_close(getattr(mine, name), getattr(reference, name), "layer", "fp64")


def test_evaluation_leaves_running_statistics_alone() -> None:
    styled = layer("BatchNorm2d").eval()
    before = copy.deepcopy(styled.state_dict())
    styled(*inputs())
    assert all(torch.equal(before[key], value) for key, value in styled.state_dict().items())


@pytest.mark.parametrize("mode", NORMALIZE_MODES)
def test_state_dict_keys(mode: str) -> None:
    parameters = {"conv.weight", "conv.gamma.weight", "conv.gamma.bias", "conv.beta.weight", "conv.beta.bias"}
    statistics = {"conv.norm.running_mean", "conv.norm.running_var", "conv.norm.num_batches_tracked"}
    expected = parameters | {"activate.bias", "conv.blur.kernel"}
    if mode == "BatchNorm2d":
        expected |= statistics
    assert set(layer(mode, up=True).state_dict()) == expected


def test_new_modulation_is_neutral() -> None:
    """γ starts at 1 and β at 0 where the style is 0."""
    styled = StyledConv(C, OUT, 3, STYLE)
    assert torch.equal(styled.conv.gamma.bias, torch.ones(C))
    assert torch.equal(styled.conv.beta.bias, torch.zeros(C))
