"""The network on plain tensors computes exactly what the nn.Modules compute."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylemap import edit, program
from stylemap.model import StyleMapGAN
from stylemap.program import Box, Features, Overlay, PlainLowering, Start, Window
from tests.helpers import goldens, tiny
from tests.helpers.tolerances import tolerance
from tests.program.networks import CONFIGS, model_of, name_of, random


@pytest.fixture(params=CONFIGS, ids=name_of)
def model(request: pytest.FixtureRequest) -> StyleMapGAN:
    return model_of(request.param)


@pytest.fixture
def op(model: StyleMapGAN) -> PlainLowering:
    return PlainLowering(program.Weights(model), torch.float64)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert goldens.relative_error(actual, expected) < tolerance("plain", "fp64")


def test_encode(model: StyleMapGAN, op: PlainLowering) -> None:
    images = random(2, 3, model.config.size, model.config.size)
    assert_same(program.encode(op, op.network, images), model.encode(images))


def test_mapping(model: StyleMapGAN, op: PlainLowering) -> None:
    z = random(3, model.config.latent_channel_size)
    assert_same(program.mapping(op, op.network, z), model.map(z))


def test_the_mapping_of_a_class() -> None:
    model = StyleMapGAN(tiny.CONFIG, ("left", "right")).double().of_class("right").requires_grad_(False)
    assert model.class_vectors is not None
    op, z = PlainLowering(program.Weights(model), torch.float64), random(3, tiny.CONFIG.latent_channel_size)
    found = program.mapping(op, op.network, z, model.class_vectors.weight)
    assert_same(found, model.map(z))


def test_decode(model: StyleMapGAN, op: PlainLowering) -> None:
    """From a stylemap, from codes and from maps."""
    w, net = random(2, *model.config.stylemap_shape), op.network
    codes, found = model.stylecodes(w), list(program.stylecodes(op, net, w))
    for actual, expected in zip(found, codes, strict=True):
        assert_same(actual, expected)
    image = model.synthesize(codes)
    assert_same(program.decode(op, net, w), image)
    assert_same(program.synthesize(op, net, codes), image)
    maps = list(program.maps(op, net, codes))
    assert_same(program.synthesize_from_maps(op, net, maps), image)


def test_a_start_gives_the_rest_of_the_run(model: StyleMapGAN, op: PlainLowering) -> None:
    """From the features before any odd layer on; maps of earlier layers are not read."""
    net = op.network
    maps = list(program.maps(op, net, model.stylecodes(random(1, *model.config.stylemap_shape))))
    seen: dict[int, Features] = {}
    image = program.synthesize_from_maps(op, net, maps, watch=seen.__setitem__)
    assert list(seen) == list(range(1, len(maps)))
    for layer in range(1, len(net.styled), 2):
        unread = [torch.full_like(each, torch.nan) for each in maps[:layer]]
        start = Start(layer, seen[layer])
        assert torch.equal(program.synthesize_from_maps(op, net, unread + maps[layer:], start=start), image)


def test_a_window_with_its_own_statistics_is_that_part(model: StyleMapGAN, op: PlainLowering) -> None:
    """Up to what the missing neighbours at its border are felt: here in the middle of the frame."""
    net, first = op.network, len(op.network.styled) - 2
    maps = list(program.maps(op, net, model.stylecodes(random(1, *model.config.stylemap_shape))))
    seen: dict[int, Features] = {}
    image = program.synthesize_from_maps(op, net, maps, watch=seen.__setitem__)
    statistics = [seen[i].statistics for i in range(first + 1, len(maps))]
    side = net.styled[first].conv.side
    whole = Window(first, Box(side, 0, side, 0, side), statistics)
    assert torch.equal(program.synthesize_from_maps(op, net, maps, window=whole), image)
    box = Box(side, side // 4, side, 0, side - side // 4)
    part = program.synthesize_from_maps(op, net, maps, window=Window(first, box, statistics))
    felt = 4 * 2
    inner = part[:, :, felt:, : part.shape[3] - felt]
    at = 2 * box.top + felt
    assert_same(inner, image[:, :, at:, : inner.shape[3]])


def test_an_edit_is_the_blend() -> None:
    """Two images with two references each, shifted and overlapping, against the edit done one by one."""
    model, size = tiny.model(torch.float64), tiny.SIZE
    op = PlainLowering(program.Weights(model), torch.float64)
    w = tiny.stylemaps(6, dtype=torch.float64)
    masks = torch.zeros(2, 2, size, size)
    masks[0, 0, 3:20, 4:25] = masks[0, 1, 10:30, 2:18] = masks[1, 0, :16, :16] = masks[1, 1, 8:, 8:] = 1
    shifts = torch.tensor([[[5, -7], [0, 40]], [[-3, 2], [11, 0]]])
    weights = torch.tensor([0.7, 1.0], dtype=torch.float64)
    overlay = Overlay(masks, shifts, weights, size)
    codes, others = model.stylecodes(w[:2]), model.stylecodes(w[2:])
    maps, other_maps = (list(program.maps(op, op.network, each)) for each in (codes, others))
    laid, laid_maps = ([torch.stack([v[:2], v[2:]], 1) for v in each] for each in (others, other_maps))
    images = program.edit(op, op.network, codes, laid, overlay)
    cached = program.edit_cached(op, op.network, (codes, maps), (laid, laid_maps), overlay)
    for n in range(2):
        expected = edit.blend(
            model,
            w[n : n + 1],
            [w[2 + n : 3 + n], w[4 + n : 5 + n]],
            list(masks[n]),
            [tuple(shift) for shift in shifts[n].tolist()],
            float(weights[n]),
        )
        assert_same(images[n : n + 1], expected)
        assert_same(cached[n : n + 1], expected)


@pytest.mark.parametrize("case", ["full_32_8x8", "small_64_8x8"])
def test_golden_outputs(case: str) -> None:
    op = PlainLowering(program.Weights(goldens.model(case)), torch.float32)
    w = program.encode(op, op.network, goldens.images(case)[:2])
    images = program.decode(op, op.network, w)
    expected = goldens.expected(case, "reconstruction")
    assert goldens.relative_error(images, expected) < tolerance("golden", "fp32")
