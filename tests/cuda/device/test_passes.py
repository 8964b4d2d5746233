"""The passes of the GPU plan against their definition in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylemap import ops
from stylemap.ops import passes, reference
from stylemap.ops.passes.convolutions import whole
from tests.ops.common import arrange, assert_matches, poisoned_memory, tensor

HALVES = [torch.float16, torch.bfloat16]
TILES = ["tensor_cores_64", "tensor_cores_128"]
#: Of the same sums in another order.
RTOL = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
NORMS = [None, *reference.NORMALIZE_MODES]
#: Input channels of a sum in 7 or 8 parts over 3 x 3 taps, the last step of a tap in either tile not a whole
#: one; and of a sum in 2 parts over one tap.
SPLIT, SPLIT_OF_ONE_TAP = 200, 640
FILTER = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 16


def last(*shape: int, dtype: torch.dtype, seed: int = 0, scale: float = 1.0) -> Tensor:
    return arrange((tensor(*shape, dtype=torch.float64, seed=seed) * scale).to(dtype), "channels_last")


def weight(out: int, channels: int, k: int, dtype: torch.dtype, seed: int = 1) -> Tensor:
    return last(out, channels, k, k, dtype=dtype, seed=seed, scale=(channels * k * k) ** -0.5)


def exact(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with ops.backend("reference"):
        return function(*args, **kwargs)


def result_size(shape: tuple[int, ...], k: int, options: dict[str, Any]) -> list[int]:
    stride, padding = options.get("stride", 1), options.get("padding", k // 2)
    return [(size + 2 * padding - k) // stride + 1 for size in shape[2:]]


def skip_of(kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A skip of the result's size ("whole") or of half its height and width."""
    scale = {"whole": 1, "half": 2}[kind]
    return last(*shape[:2], *(size // scale for size in shape[2:]), dtype=dtype, seed=5)


def check(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """The pass against its definition; statistics against those of the rounded result."""
    with poisoned_memory(), torch.no_grad():
        actual = function(*args, **kwargs)
    named = kwargs.pop("implementation", None)
    assert named is None or named in (*TILES, "triton", "cudnn")
    y = actual.y if isinstance(actual, passes.Result) else actual

    def definition(*args: Any, **kwargs: Any) -> Tensor:
        result = exact(function, *args, **kwargs)
        return result.y if isinstance(result, passes.Result) else result

    assert_matches(y, definition, *args, **kwargs)
    norm = kwargs.get("next_norm")
    if isinstance(actual, passes.Result) and norm is not None:
        mean, var = reference.moments(y.double(), norm)
        # The partial sums are of rounded values in float32: rounding errors only.
        torch.testing.assert_close(actual.mean.double().flatten(), mean.flatten(), rtol=1e-6, atol=1e-6)
        rstd = torch.rsqrt(var.flatten() + passes.common.EPS)
        torch.testing.assert_close(actual.rstd.double().flatten(), rstd, rtol=2e-6, atol=0)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize(
    ("shape", "out", "k", "options"),
    [
        ((1, 8, 5, 7), 8, 3, {}),
        ((2, 40, 9, 6), 24, 3, {"next_norm": "LayerNorm", "gain": 1.5}),
        ((1, 72, 4, 4), 136, 1, {"next_norm": "GroupNorm"}),
        ((2, 16, 11, 13), 72, 3, {"stride": 2, "padding": 0, "next_norm": "BatchNorm2d"}),
        ((1, 16, 6, 8), 80, 3, {"skip": "half", "next_norm": "LayerNorm"}),
        ((1, 16, 11, 9), 72, 3, {"skip": "whole", "stride": 2, "padding": 0}),
        ((3, 24, 1, 1), 8, 3, {"next_norm": "InstanceNorm2d"}),
    ],
    ids=str,
)
def test_conv_act_matches_reference(
    shape: tuple[int, ...], out: int, k: int, options: dict[str, Any], dtype: torch.dtype, implementation: str
) -> None:
    options = dict(options)
    if kind := options.pop("skip", None):
        options["skip"] = skip_of(kind, (shape[0], out, *result_size(shape, k, options)), dtype)
    x, bias = last(*shape, dtype=dtype), tensor(out, dtype=dtype, seed=2)
    check(passes.conv_act, x, weight(out, shape[1], k, dtype), bias, implementation=implementation, **options)


def test_conv_act_without_bias_and_strided_operands() -> None:
    x = tensor(1, 8, 6, 5, dtype=torch.float16, layout="strided")
    w = weight(16, 8, 3, torch.float16).contiguous()
    check(passes.conv_act, x, w, None, implementation="tensor_cores_64", negative_slope=1.0)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 40, 5, 3), (1, 16, 8, 7)], ids=str)
@pytest.mark.parametrize("out", [24, 48], ids=["phases", "taps"])
def test_transposed_conv_matches_reference(
    out: int, shape: tuple[int, ...], dtype: torch.dtype, implementation: str
) -> None:
    """By phases, of which three have no pixel in the second tile of 64 at the last size, and by taps."""
    x = last(*shape, dtype=dtype)
    check(passes.transposed_conv, x, weight(out, shape[1], 3, dtype), implementation=implementation)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize(("shape", "style"), [((2, 8, 5, 7), 8), ((1, 72, 6, 4), 40)], ids=str)
def test_modulate_conv_matches_reference(
    shape: tuple[int, ...], style: int, normalize: str, dtype: torch.dtype, implementation: str
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
    check(passes.modulate_conv, x, *operands, normalize=normalize, implementation=implementation)


@pytest.mark.parametrize("implementation", [*TILES, "cudnn"])
def test_modulate_conv_of_halves_of_one_weight(implementation: str) -> None:
    dtype = torch.float16
    maps, bias = weight(32, 16, 3, dtype, 2), tensor(32, dtype=dtype, seed=3)
    halves = (maps[:16], bias[:16], maps[16:], bias[16:])
    joined = whole(maps[:16], maps[16:])
    assert joined is not None
    assert torch.equal(joined, maps)
    assert joined.data_ptr() == maps.data_ptr()
    assert whole(maps[16:], maps[:16]) is None
    assert whole(maps[:16], maps[16:].clone()) is None
    x, style = last(1, 16, 5, 6, dtype=dtype), last(1, 16, 5, 6, dtype=dtype, seed=1)
    check(
        passes.modulate_conv,
        x,
        style,
        *halves,
        torch.zeros(1, 1),
        torch.ones(1, 1),
        implementation=implementation,
    )


def test_conv_rows_touches_the_listed_pixels_alone() -> None:
    dtype = torch.float16
    x, w, bias = last(2, 16, 7, 5, dtype=dtype), weight(24, 16, 3, dtype), tensor(24, dtype=dtype, seed=3)
    rows = torch.tensor([0, 69, -1, 34, 35, 12, -1, 40], dtype=torch.int32)
    before = last(2, 24, 7, 5, dtype=dtype, seed=9)
    y = passes.conv_rows_(before.clone(memory_format=torch.channels_last), x, w, bias, rows)
    expected = exact(passes.conv_act, x.double(), w.double(), bias.double(), negative_slope=1.0).y
    flat, wanted = y.permute(0, 2, 3, 1).flatten(0, 2), expected.permute(0, 2, 3, 1).flatten(0, 2)
    listed = torch.zeros(70, dtype=torch.bool)
    listed[rows[rows >= 0].long()] = True
    assert torch.equal(flat[~listed], before.permute(0, 2, 3, 1).flatten(0, 2)[~listed])
    torch.testing.assert_close(flat[listed].double(), wanted[listed], rtol=1e-3, atol=1e-3)
    untouched = passes.conv_rows_(before.clone(), x, w, bias, torch.full((3,), -1, dtype=torch.int32))
    assert torch.equal(untouched, before)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_conv_rows_group_is_conv_rows_of_every_layer(dtype: torch.dtype) -> None:
    """Layers of other sizes; lists with gaps, with tiles of padding alone, and without a row."""
    shapes = [(2, 16, 7, 5, 24), (1, 8, 12, 13, 136), (1, 40, 4, 4, 8), (1, 8, 3, 3, 8)]
    lists = [[0, 69, -1, 34, 35, 12, -1, 40], [*range(150), *[-1] * 90], [], [8]]
    rows = [torch.tensor(each, dtype=torch.int32) for each in lists]
    xs = [last(n, c, h, w, dtype=dtype, seed=i) for i, (n, c, h, w, _) in enumerate(shapes)]
    weights = [weight(out, c, 3, dtype, seed=i) for i, (_, c, _, _, out) in enumerate(shapes)]
    biases = [tensor(shape[-1], dtype=dtype, seed=3) for shape in shapes]
    before = [last(n, out, h, w, dtype=dtype, seed=9) for n, _, h, w, out in shapes]
    together = [y.clone() for y in before]
    with poisoned_memory(), torch.no_grad():
        passes.conv_rows_group_(together, xs, weights, biases, rows)
        for y, *layer in zip(before, xs, weights, biases, rows, strict=True):
            passes.conv_rows_(y, *layer)
    for actual, expected in zip(together, before, strict=True):
        torch.testing.assert_close(actual, expected, rtol=RTOL[dtype], atol=RTOL[dtype])


def test_conv_rows_group_without_layers() -> None:
    passes.conv_rows_group_([], [], [], [], [])


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("kind", ["half", "whole"])
@pytest.mark.parametrize("size", [1, 3])
def test_conv_act_of_split_sums(size: int, kind: str, implementation: str) -> None:
    """Few pixels and many channels: the sum is shared out to several blocks, and joined in a fixed order."""
    channels = SPLIT_OF_ONE_TAP if size == 1 else SPLIT
    x, w = last(2, channels, 4, 6, dtype=torch.float16), weight(72, channels, size, torch.float16)
    skip, bias = skip_of(kind, (2, 72, 4, 6), torch.float16), tensor(72, dtype=torch.float16, seed=2)
    options: dict[str, Any] = {"skip": skip, "next_norm": "LayerNorm", "implementation": implementation}
    check(passes.conv_act, x, w, bias, **options)
    first, second = (passes.conv_act(x, w, bias, **options) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize("implementation", TILES)
def test_transposed_conv_of_split_sums(implementation: str) -> None:
    """By taps, in two parts of the channels: the last step of the second is not a whole one."""
    x, w = last(2, 264, 4, 5, dtype=torch.float16), weight(32, 264, 3, torch.float16)
    check(passes.transposed_conv, x, w, implementation=implementation)
    first, second = (passes.transposed_conv(x, w, implementation=implementation) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("implementation", TILES)
@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
def test_modulate_conv_of_split_sums(normalize: str, implementation: str) -> None:
    dtype = torch.float16
    x, style = last(2, 72, 4, 6, dtype=dtype, scale=2.0) + 1, last(2, SPLIT, 4, 6, dtype=dtype, seed=1)
    mean, var = ops.moments(x, normalize)
    maps = [weight(72, SPLIT, 3, dtype, 2), tensor(72, dtype=dtype, seed=3), weight(72, SPLIT, 3, dtype, 4)]
    operands = (x, style, *maps, tensor(72, dtype=dtype, seed=5), mean, torch.rsqrt(var + 1e-5))
    check(passes.modulate_conv, *operands, normalize=normalize, implementation=implementation)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(2, 8, 9, 7), (1, 72, 5, 37), (1, 5, 4, 6)], ids=str)
def test_blur_act_fused_with_statistics(shape: tuple[int, ...], norm: str | None, dtype: torch.dtype) -> None:
    if norm == "GroupNorm" and shape[1] % 8:
        pytest.skip("GroupNorm needs a multiple of 8 channels")
    x, bias = last(*shape, dtype=dtype), tensor(shape[1], dtype=dtype, seed=1)
    check(passes.blur_act, x, FILTER, bias, next_norm=norm, gain=2.0**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(2, 8, 5, 3), (1, 72, 4, 19)], ids=str)
def test_skip_add_fused_with_statistics(shape: tuple[int, ...], norm: str | None, dtype: torch.dtype) -> None:
    n, c, h, w = shape
    x, skip = last(n, c, 2 * h, 2 * w, dtype=dtype), last(*shape, dtype=dtype, seed=1)
    check(passes.skip_add, x, skip, gain=0.5**0.5, next_norm=norm)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
@pytest.mark.parametrize(("channels", "colors"), [(8, 3), (24, 3), (32, 1), (512, 4)])
def test_modulated_rgb_matches_reference(
    channels: int, colors: int, normalize: str, dtype: torch.dtype
) -> None:
    if dtype == torch.float32 and channels == 512:
        channels = 256
    maps = last(2, channels + 8, 5, 7, dtype=dtype, seed=1)  # gamma and beta side by side, in whole packs
    x = last(2, channels, 5, 7, dtype=dtype)
    mean, var = ops.moments(x, normalize)
    w = tensor(colors, channels, dtype=dtype, seed=2) * channels**-0.5
    operands = (maps[:, :channels], maps[:, channels : channels + colors], mean, torch.rsqrt(var + 1e-5))
    check(passes.modulated_rgb, x, *operands, w, tensor(colors, dtype=dtype, seed=3), normalize=normalize)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("normalize", reference.NORMALIZE_MODES)
def test_apply_modulation_matches_reference(normalize: str, layout: str) -> None:
    x = tensor(2, 16, 5, 4, layout=layout)
    maps = tensor(2, 32, 5, 4, seed=1, layout=layout)
    mean, var = ops.moments(x, normalize)
    check(
        passes.apply_modulation,
        x,
        maps[:, :16],
        maps[:, 16:],
        mean,
        torch.rsqrt(var + 1e-5),
        normalize=normalize,
    )


def test_refusals() -> None:
    x, w = last(1, 8, 4, 4, dtype=torch.float16), weight(8, 8, 3, torch.float16)
    with pytest.raises(RuntimeError, match="channels in multiples of 8"):
        passes.conv_act(x[:, :5], w[:, :5], implementation="tensor_cores_64")
    with pytest.raises(RuntimeError, match="float16 or bfloat16"):
        passes.conv_act(x.float(), w.float(), implementation="tensor_cores_64")
    with pytest.raises(ValueError, match="implementation must be auto"):
        passes.conv_act(x, w, implementation="fastest")
    with pytest.raises(RuntimeError, match="weight requires a gradient"):
        passes.conv_act(x, w.clone().requires_grad_())
    with pytest.raises(TypeError, match=r"weight is torch\.float32"):
        passes.conv_act(x, w.float())
    with pytest.raises(RuntimeError, match="half its height"):
        passes.conv_act(x, w, skip=last(1, 8, 3, 4, dtype=torch.float16), implementation="tensor_cores_64")


def test_auto_measures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes.convolutions.autotune, "choices", {})
    x, w = last(1, 16, 6, 5, dtype=torch.float16), weight(8, 16, 3, torch.float16)
    check(passes.conv_act, x, w)
    choices = dict(passes.convolutions.autotune.choices)
    assert len(choices) == 1
    assert choices.popitem()[1] in ("tensor_cores_128", "tensor_cores_64", "triton", "cudnn")
    odd = last(1, 3, 6, 5, dtype=torch.float16)
    check(passes.conv_act, odd, weight(8, 3, 3, torch.float16))
    assert set(passes.convolutions.autotune.choices.values()) >= {"cudnn"}


def test_opcheck() -> None:
    x, w, bias = (
        last(2, 8, 6, 4, dtype=torch.float16),
        weight(16, 8, 3, torch.float16),
        tensor(16, dtype=torch.float16),
    )
    tests = ["test_schema", "test_faketensor"]
    stylemap = torch.ops.stylemap
    skip = last(2, 16, 3, 2, dtype=torch.float16)
    mean, rstd = torch.zeros(2, 1), torch.ones(2, 1)
    cases: list[tuple[Any, tuple[Any, ...]]] = [
        (stylemap.conv_act.default, (x, w, bias, skip, 1, 1, 0.2, 1.0, 1, 1e-5, 64)),
        (stylemap.conv_act.default, (x, w, None, None, 2, 1, 0.2, 1.0, -1, 1e-5, 0)),
        (stylemap.transposed_conv.default, (x, w, 0)),
        (stylemap.modulate_conv.default, (x, x, w[:8], bias[:8], w[8:], bias[8:], mean, rstd, 1, 0)),
        (stylemap.apply_modulation.default, (x, x, x, mean, rstd, 1)),
        (stylemap.blur_act.default, (x, FILTER, bias[:8], [1, 1, 1, 1], 0.2, 1.0, 8, 1e-5)),
        (stylemap.skip_add.default, (last(2, 16, 6, 4, dtype=torch.float16), skip, FILTER, 1.0, 0, 1e-5)),
        (stylemap.modulated_rgb.default, (x, x, x[:, :3], mean, rstd, 1, w[:3, :, 0, 0], bias[:3], 0.2, 1.0)),
        (stylemap.conv_rows_.default, (skip, skip[:, :8], w, bias, torch.zeros(1, dtype=torch.int32))),
    ]
    for op, arguments in cases:
        torch.library.opcheck(op, arguments, test_utils=tests)
