"""The CPU plan's 1 x 1 convolutions against float64 PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.engine.cpu.convolution import padded, padded_bias
from stylemap.ops import _native, reference
from tests.helpers import needs

pytestmark = needs.when(_native.loaded(), "the native library is not built")

ISAS = ("generic", "avx2", "avx512", "avx512_bf16", "amx_bf16")
BLUR = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)] * 2) / 64
ops = torch.ops.stylemap


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    if not ops.conv2d_select_isa(request.param):
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    ops.conv2d_select_isa("auto")


def random(*shape: int) -> Tensor:
    """Values that float32 holds exactly, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).double()


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).float().contiguous()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("channels", [(3, 32), (16, 40), (37, 5), (64, 64)])
def test_pointwise(isa: str, channels: tuple[int, int], blur: bool, bf16: bool) -> None:
    inputs, outputs = channels
    x, bias = random(2, inputs, 10, 18), random(outputs)
    weight = random(outputs, inputs) / math.sqrt(inputs)
    low = reference.upfirdn2d(x, BLUR, down=2, padding=(1, 1, 1, 1)) if blur else x
    expected = F.leaky_relu(F.conv2d(low, weight[:, :, None, None], bias), 0.2)
    packed = ops.pointwise_pack(padded(weight[:, :, None, None])[:, :, 0, 0].contiguous(), bf16)
    out = torch.full_like(nhwc(expected), math.nan)
    ops.pointwise(nhwc(x), packed, padded_bias(bias), 0.2, blur, out)
    assert relative_error(out.permute(0, 3, 1, 2), expected) < (4e-3 if bf16 else 3e-7)


@pytest.mark.parametrize("channels", [1, 16, 21, 128])
def test_to_rgb(isa: str, channels: int) -> None:
    x, gamma, beta = random(2, channels, 9, 5), random(2, channels, 9, 5), random(2, 3, 9, 5)
    mean, rstd, weight = random(2, channels), random(2, channels).abs().float().double(), random(3, channels)
    normalised = (x - mean[:, :, None, None]) * rstd[:, :, None, None]
    expected = F.leaky_relu(F.conv2d(normalised * gamma, weight[:, :, None, None]) + beta, 0.2)
    image = torch.full((2, 3, 9, 5), math.nan)
    maps = nhwc(torch.cat([gamma, beta], 1))
    ops.to_rgb(nhwc(x), maps, mean.float(), rstd.float(), weight.float(), 0.2, image)
    assert relative_error(image, expected) < 5e-7


def test_errors_name_the_argument() -> None:
    packed = ops.pointwise_pack(torch.zeros(32, 16, dtype=torch.float64), False)
    x, bias = torch.zeros(1, 4, 4, 16), torch.zeros(32)
    with pytest.raises(RuntimeError, match="x must be 1 x 8 x 8 x 16"):
        ops.pointwise(x, packed, bias, 0.2, True, torch.empty(1, 4, 4, 32))
    with pytest.raises(RuntimeError, match="packed"):
        ops.pointwise(x, packed, bias, 0.2, False, torch.empty(1, 4, 4, 33))
    with pytest.raises(RuntimeError, match="maps must be 1 x 4 x 4 x 19"):
        ops.to_rgb(x, x, bias[None], bias[None], torch.zeros(3, 16), 0.2, torch.empty(1, 3, 4, 4))
