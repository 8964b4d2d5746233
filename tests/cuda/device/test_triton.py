"""The Triton kernels against the definition of their passes: interpreted on a CPU, compiled on a GPU."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from stylemap import ops
from stylemap.ops import passes, reference
from tests.cuda.device.test_passes import check, last, result_size, skip_of, weight
from tests.helpers import needs
from tests.ops.common import tensor

needs.package("triton")
# The interpreter's products of bfloat16 are wrong.
DTYPES = [torch.float16] if os.environ.get("TRITON_INTERPRET") == "1" else [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "out", "k", "options"),
    [
        ((1, 16, 5, 7), 8, 3, {}),
        ((2, 64, 9, 6), 24, 3, {"next_norm": "LayerNorm", "gain": 1.5}),
        ((1, 32, 4, 4), 136, 1, {"next_norm": "GroupNorm"}),
        ((2, 16, 11, 13), 72, 3, {"stride": 2, "padding": 0, "next_norm": "BatchNorm2d"}),
        ((1, 16, 6, 8), 80, 3, {"skip": "half", "next_norm": "LayerNorm"}),
        ((1, 16, 11, 9), 72, 3, {"skip": "whole", "stride": 2, "padding": 0}),
        ((3, 48, 1, 1), 8, 3, {"bias": False, "next_norm": "InstanceNorm2d"}),
        ((1, 16, 128, 130), 8, 1, {"next_norm": "LayerNorm"}),
    ],
    ids=str,
)
def test_conv_act_matches_reference(
    shape: tuple[int, ...], out: int, k: int, options: dict[str, Any], dtype: torch.dtype
) -> None:
    options = dict(options)
    if kind := options.pop("skip", None):
        options["skip"] = skip_of(kind, (shape[0], out, *result_size(shape, k, options)), dtype)
    bias = tensor(out, dtype=dtype, seed=2) if options.pop("bias", True) else None
    x = last(*shape, dtype=dtype)
    check(passes.conv_act, x, weight(out, shape[1], k, dtype), bias, implementation="triton", **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize(("shape", "style"), [((2, 8, 5, 7), 16), ((1, 72, 6, 4), 64)], ids=str)
def test_modulate_conv_matches_reference(
    shape: tuple[int, ...], style: int, normalize: str, dtype: torch.dtype
) -> None:
    n, c, h, w = shape
    x = last(*shape, dtype=dtype, scale=2.0) + 1
    mean, var = ops.moments(x, normalize)
    operands = [
        last(n, style, h, w, dtype=dtype, seed=1),
        weight(c, style, 3, dtype, 2),
        tensor(c, dtype=dtype, seed=3) + 1,
        weight(c, style, 3, dtype, 4),
        tensor(c, dtype=dtype, seed=5),
        mean,
        torch.rsqrt(var + 1e-5),
    ]
    check(passes.modulate_conv, x, *operands, normalize=normalize, implementation="triton")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 64, 5, 3), (1, 32, 8, 9)], ids=str)
def test_transposed_conv_matches_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = last(*shape, dtype=dtype)
    check(passes.transposed_conv, x, weight(24, shape[1], 3, dtype), implementation="triton")


def test_refusals() -> None:
    x = last(1, 24, 4, 4, dtype=torch.float16)
    with pytest.raises(NotImplementedError, match="multiples of 16, not 24"):
        passes.conv_act(x, weight(8, 24, 3, torch.float16), implementation="triton")
    with pytest.raises(NotImplementedError, match="float16 and bfloat16"):
        passes.conv_act(x.float(), weight(8, 24, 3, torch.float32), implementation="triton")
