"""Algorithms and cuts of the CPU's convolutions: a function of their sizes alone."""

from __future__ import annotations

import pytest

from stylemap.config import Config
from stylemap.engine.cpu.blocking import (
    DOWN,
    PLAIN,
    UP,
    Shape,
    blocking_of,
    in_bf16,
    keeps_half,
    keeps_taps,
    tile_of,
)
from stylemap.program import Part, network


@pytest.mark.parametrize("mode", [PLAIN, UP, DOWN])
@pytest.mark.parametrize("channels", [(16, 32), (128, 256), (512, 1024)])
@pytest.mark.parametrize("side", [4, 64, 1024])
def test_cuts_are_of_reasonable_size(mode: int, channels: tuple[int, int], side: int) -> None:
    shape = Shape(mode, 4 if mode == PLAIN else 2, False, *channels, 1, side)
    cut = blocking_of(shape)
    assert cut.tiles % 4 == 0
    assert cut.tiles > 0
    assert cut.shared or mode != UP
    size = shape.input_bytes + shape.product_bytes if cut.shared else shape.input_bytes
    assert cut.tiles <= 32 or cut.tiles * size <= 100 << 20


def test_large_tiles_where_rounding_does_not_add_up() -> None:
    """F(6×6) for maps in float32 alone; small tiles where few of them share the weights."""
    tiles = {precision: set[tuple[Part, int]]() for precision in ("fp32", "bf16")}
    for layer in network(Config(size=256)).convolutions():
        for precision, found in tiles.items():
            if layer.size == 3:
                found.add((layer.part, tile_of(layer, layer.outputs, precision)))
    assert {part for part, tile in tiles["fp32"] if tile == 6} == {Part.MAPS}
    assert not any(tile == 6 for _, tile in tiles["bf16"])
    coarse, *_, fine = (layer for layer in network(Config(size=256)).codes if layer.inputs > 64)
    assert tile_of(coarse, coarse.outputs, "fp32") < tile_of(fine, fine.outputs, "fp32") == 4


def test_the_first_layers_stay_float32() -> None:
    net = network(Config(size=64))
    assert not any(in_bf16(layer, "fp32") for layer in net.convolutions())
    wide = [layer.conv for layer in net.styled]
    assert [in_bf16(conv, "bf16") for conv in wide] == [False] * 4 + [True] * (len(wide) - 4)
    assert not in_bf16(net.from_rgb, "bf16")


def test_large_weights_are_kept_as_taps() -> None:
    """In float16 where that is less than the transformed weights, and where it holds them."""
    wide = Shape(PLAIN, 2, True, 512, 1024, 1, 8)
    assert keeps_taps(wide, half=True)
    assert not keeps_taps(wide)
    assert not keeps_taps(Shape(PLAIN, 4, True, 128, 128, 1, 8), half=True)
    assert keeps_taps(Shape(PLAIN, 4, False, 512, 512, 1, 8))
    assert keeps_half(0.1)
    assert not any(map(keeps_half, (0.0, 1e-5, 1e5, float("inf"), float("nan"))))
