"""The CPU plan's 3 x 3 convolutions against float64 PyTorch: every mode, epilogue, tile, instruction set."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stylemap.engine.cpu.blocking import DOWN, PLAIN, UP, Shape, blocking_of
from stylemap.engine.cpu.convolution import Filters, alternating, padded
from stylemap.ops import _native
from tests.helpers import needs
from tests.helpers.convolution_case import Case, nhwc, relative_error

pytestmark = needs.when(_native.loaded(), "the native library is not built")

FLOAT, BF16 = False, True
ISAS = ("generic", "avx2", "avx512", "avx512_bf16", "amx_bf16")
ops = torch.ops.stylemap


@pytest.fixture(autouse=True)
def _restore_isa() -> Iterator[None]:
    yield
    ops.conv2d_select_isa("auto")


@pytest.mark.parametrize("bf16", [FLOAT, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets(isa: str, mode: int, bf16: bool) -> None:
    if not ops.conv2d_select_isa(isa):
        pytest.skip(f"this processor has no {isa}")
    assert ops.conv2d_isa() == isa
    size = {"height": 14, "width": 10, "inputs": 19, "outputs": 37}
    for tile in (2, 4) if bf16 else (2, 4, 6):
        Case(batch=2, mode=mode, tile=tile, bf16=bf16, **size).check()
        if mode == PLAIN:
            Case(batch=2, tile=tile, bf16=bf16, features=True, **size).check()
            Case(batch=2, tile=tile, bf16=bf16, skip="up", **size).check()
        if mode != DOWN:
            Case(batch=2, tile=tile, bf16=bf16, mode=mode, modulation=True, **size).check()


@pytest.mark.parametrize("tile", [2, 4, 6])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 7), (8, 13), (17, 2)])
def test_sizes(size: tuple[int, int], tile: int) -> None:
    for mode in (PLAIN, UP):
        Case(height=size[0], width=size[1], mode=mode, tile=tile, inputs=5, outputs=33).check()
    Case(height=2 * size[0], width=2 * size[1], mode=DOWN, tile=tile, inputs=5, outputs=33).check()


@pytest.mark.parametrize("channels", [(1, 1), (16, 32), (17, 31), (64, 3), (48, 96)])
def test_channels(channels: tuple[int, int]) -> None:
    for mode in (PLAIN, UP, DOWN):
        Case(mode=mode, inputs=channels[0], outputs=channels[1]).check()
    Case(inputs=channels[0], outputs=channels[1], features=True).check()
    Case(inputs=channels[0], outputs=channels[1], modulation=True, skip="same").check()


@pytest.mark.parametrize("bf16", [FLOAT, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
@pytest.mark.parametrize("isa", ISAS)
def test_weights_transformed_at_each_use(isa: str, mode: int, bf16: bool) -> None:
    if not ops.conv2d_select_isa(isa):
        pytest.skip(f"this processor has no {isa}")
    for tile in (2, 4) if bf16 else (2, 4, 6):
        case = Case(batch=2, height=14, width=10, inputs=19, outputs=37, mode=mode, tile=tile, bf16=bf16)
        case.check(taps=True)
        assert relative_error(case.run(taps=True), case.run().double()) < (1e-2 if bf16 else 3e-6)
        assert torch.equal(case.run(taps=True), case.run(taps=True, tiles=28))
        if bf16:
            case.check(taps=True, half=True)
            # Float16 rounds taps to 11 bits, an eighth of what rounding their transform to 8 bits does.
            whole, narrow = (
                relative_error(case.run(taps=True, half=half), case.expected) for half in (False, True)
            )
            assert narrow < 1.05 * whole
            assert torch.equal(case.run(taps=True, half=True), case.run(taps=True, half=True, tiles=28))


def test_weights_transformed_at_each_use_by_any_number_of_threads() -> None:
    case = Case(batch=2, height=20, width=36, outputs=70, inputs=40, features=True)
    chosen = torch.tensor([1, 7, 30], dtype=torch.int32)
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            runs.append((case.run(taps=True), case.run(taps=True, tile_list=chosen)))
    finally:
        torch.set_num_threads(before)
    for out, listed in runs[1:]:
        assert torch.equal(out, runs[0][0])
        assert torch.equal(listed[~listed.isnan()], runs[0][1][~runs[0][1].isnan()])
    assert int((~runs[0][1].isnan()).sum()) == 2 * 70 * 3 * 16


def test_taps_are_transformed_by_all_threads_together() -> None:
    """Also in tiles so small that transformed weights would have had a place in the cache."""
    shape = Shape(PLAIN, 2, False, 256, 256, 1, 256)
    assert not blocking_of(shape).shared
    assert blocking_of(shape, taps=True).shared


@pytest.mark.parametrize("tiles", [1, 4, 28, 1000])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
def test_blocking_does_not_change_a_bit(mode: int, shared: bool, tiles: int) -> None:
    case = Case(batch=3, height=22, width=18, mode=mode, outputs=40)
    assert torch.equal(case.run(tiles=tiles, shared=shared), case.run())


@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
def test_threads_do_not_change_a_bit(mode: int) -> None:
    case = Case(batch=2, height=20, width=36, mode=mode, outputs=40)
    runs = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            partials = case.partials()
            runs.append((case.run(partials=partials), partials))
    finally:
        torch.set_num_threads(before)
    for out, partials in runs[1:]:
        assert torch.equal(out, runs[0][0])
        assert torch.equal(partials, runs[0][1])


def test_wide_outputs_are_streamed() -> None:
    """Beyond 12 MB the stores go around the caches: the same values, also in the last pixels."""
    case = Case(height=256, width=384, inputs=16, outputs=32)
    case.check(tiles=28)


@pytest.mark.parametrize("groups", [1, 8, 40])
@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
@pytest.mark.parametrize("shared", [False, True])
def test_moments(mode: int, groups: int, shared: bool) -> None:
    case = Case(batch=2, height=22, width=18, mode=mode, outputs=40, skip="same" if mode == DOWN else None)
    partials = case.partials()
    out = case.run(partials=partials, shared=shared).double()
    mean, rstd = (torch.full((2, 40), math.nan) for _ in range(2))
    ops.conv2d_moments(partials, groups, 1e-5, mean, rstd)
    grouped = out.reshape(2, groups, -1)
    expected_mean = grouped.mean(2).repeat_interleave(40 // groups, 1)
    variance = grouped.var(2, correction=0).repeat_interleave(40 // groups, 1)
    torch.testing.assert_close(mean.double(), expected_mean, rtol=1e-6, atol=5e-7)
    torch.testing.assert_close(rstd.double(), (variance + 1e-5).rsqrt(), rtol=1e-6, atol=0)


def test_moments_far_from_zero() -> None:
    """The variance of values around 3000 with a deviation near 1: sums of squares would lose it."""
    case = Case(height=64, width=64, slope=1.0)
    case.packed_bias += 3000.0
    partials = case.partials()
    out = case.run(partials=partials).double()
    mean, rstd = torch.empty(1, 32), torch.empty(1, 32)
    ops.conv2d_moments(partials, 32, 1e-5, mean, rstd)
    variance = out.var((2, 3), correction=0)
    torch.testing.assert_close(rstd.double(), (variance + 1e-5).rsqrt(), rtol=1e-5, atol=0)


def test_constant_input_and_moments_broadcast_over_the_batch() -> None:
    case = Case(batch=3, features=True)
    for name in ("features", "mean", "rstd"):
        case.optional[name] = case.optional[name][:1].contiguous()
    broadcast = case.run()
    for name in ("features", "mean", "rstd"):
        repeats = (3,) + (1,) * (case.optional[name].ndim - 1)
        case.optional[name] = case.optional[name].repeat(repeats)
    assert torch.equal(broadcast, case.run())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("tile", [2, 4, 6])
def test_listed_tiles_are_computed_and_no_others(tile: int, shared: bool) -> None:
    case = Case(batch=2, height=23, width=30, tile=tile, modulation=True)
    across, down = -(-30 // tile), -(-23 // tile)
    chosen = torch.randperm(across * down, generator=case.generator)[: across * down // 3].int()
    out = case.run(shared=shared, tile_list=chosen)
    computed = torch.zeros(across * down, dtype=torch.bool)
    computed[chosen.long()] = True
    inside = computed.view(down, across).repeat_interleave(tile, 0).repeat_interleave(tile, 1)[:23, :30]
    whole = case.run()
    assert torch.equal(out[:, :, inside], whole[:, :, inside])
    assert out[:, :, ~inside].isnan().all()


def test_errors_name_the_argument() -> None:
    case = Case()
    filters = Filters((case.packed_weight, 1.0))
    packed = filters.pack(PLAIN, 4, False)
    out, bias, x = torch.empty(1, 12, 12, 32), case.packed_bias, nhwc(case.x)
    none = (None,) * 5

    def call(x: Tensor, out: Tensor, bias: Tensor, mode: int = PLAIN, partials: Tensor | None = None) -> None:
        ops.conv2d(x, packed, bias, 0.2, mode, *none, out, partials, None, 8)

    with pytest.raises(RuntimeError, match="out must be 1 x 12 x 12 x 32"):
        call(x, torch.empty(1, 11, 12, 32), bias)
    with pytest.raises(RuntimeError, match="x must be a contiguous float32"):
        call(x.double(), out, bias)
    with pytest.raises(RuntimeError, match="blocks"):
        call(x, torch.empty(1, 12, 12, 64), bias)
    with pytest.raises(RuntimeError, match="bias"):
        call(x, out, bias[:31])
    with pytest.raises(RuntimeError, match="mode must be"):
        call(x, out, bias, mode=3)
    with pytest.raises(RuntimeError, match="another mode"):
        call(x, out, bias, mode=UP)
    with pytest.raises(RuntimeError, match="tile_list has 9 but there are 9 tiles"):
        case.run(tile_list=torch.tensor([0, 9], dtype=torch.int32))
    with pytest.raises(RuntimeError, match="partials"):
        call(x, out, bias, partials=torch.empty(1, 1, 65))
    taps = filters.taps()
    with pytest.raises(RuntimeError, match="taps need a workspace"):
        ops.conv2d(x, taps, bias, 0.2, PLAIN, *none, out, None, None, 8, None, 4, False)
    with pytest.raises(RuntimeError, match="taps must"):
        ops.conv2d(x, packed, bias, 0.2, PLAIN, *none, out, None, None, 8, None, 4, False)
    with pytest.raises(RuntimeError, match="tile must be"):
        ops.conv2d_workspace(taps, UP, 1, 12, 12, 8, 4, False)
    with pytest.raises(RuntimeError, match="tile must be"):
        filters.pack(PLAIN, 3, False)
    with pytest.raises(RuntimeError, match="taps in float16 are for products in bfloat16"):
        ops.conv2d_workspace(filters.taps(torch.float16), PLAIN, 1, 12, 12, 8, 4, False)
    for rest, message in (((1.0, 8, 16), "first and lanes"), ((1.0, 0, 16), "do not fill 1 blocks of 16")):
        with pytest.raises(RuntimeError, match=message):
            ops.conv2d_taps(case.packed_weight, taps, *rest)
    assert not ops.conv2d_select_isa("sse17")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("outputs", "inputs"), [(32, 16), (37, 19), (5, 3)])
def test_filters_are_scaled_and_blocked_at_once(outputs: int, inputs: int, dtype: torch.dtype) -> None:
    """With the same bits as folded in float64, padded, put in order and then packed."""
    generator = torch.Generator().manual_seed(outputs)
    parts = [(torch.randn(outputs, inputs, 3, 3, generator=generator, dtype=dtype), f) for f in (0.37, 1.9)]
    folded = [tensor.double() * factor for tensor, factor in parts]
    for some, whole in ((parts[:1], folded[0]), (parts, alternating(torch.cat(folded)))):
        filters, wide = Filters(*some), padded(whole)
        assert filters.largest() == pytest.approx(whole.abs().max().item(), rel=1e-7)
        expected = wide.unflatten(0, (-1, 32)).permute(0, 2, 3, 4, 1).flatten(2, 3).float()
        assert torch.equal(filters.taps(), expected)
        assert torch.equal(filters.taps(torch.float16), expected.half())
        for mode, tile in ((PLAIN, 4), (UP, 2), (DOWN, 2)):
            for bf16 in (False, True):
                packed = Filters((wide, 1.0)).pack(mode, tile, bf16)
                assert torch.equal(filters.pack(mode, tile, bf16), packed)
