"""The folded networks compute exactly what the model computes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from stylemap import edit
from stylemap.config import NORMALIZE_MODES, Config
from stylemap.export import network
from stylemap.export.eager import Eager
from stylemap.export.network import Layers
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from tests.helpers import goldens, tiny
from tests.helpers.tolerances import tolerance

TABLE = {4: 8, 8: 16, 16: 24, 32: 8}  # widths that 8 groups divide
CONFIGS = [
    dataclasses.replace(tiny.CONFIG, normalize_mode=mode, small_generator=small, channel_table=TABLE)
    for mode in NORMALIZE_MODES
    for small in (False, True)
] + [Config(size=16, latent_spatial_size=4, latent_channel_size=8, channel_table={4: 16, 8: 8, 16: 8})]


@pytest.fixture(
    params=CONFIGS, ids=lambda c: f"{c.normalize_mode}-{'small' if c.small_generator else 'full'}-{c.size}"
)
def model(request: pytest.FixtureRequest) -> StyleMapGAN:
    """A model in float64; running statistics of BatchNorm2d that are not 0 and 1."""
    model = recipe_model(dataclasses.replace(request.param, mapping_layer_num=3), torch.float64)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.2, 3, generator=generator)
    return model


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert goldens.relative_error(actual, expected) < tolerance("plain", "fp64")


def test_encoder(model: StyleMapGAN) -> None:
    images = random(2, 3, model.config.size, model.config.size)
    assert_same(network.encoder(Eager(torch.float64), model.encoder, images), model.encode(images))


def test_mapping(model: StyleMapGAN) -> None:
    z = random(3, model.config.latent_channel_size)
    assert_same(network.mapping(Eager(torch.float64), model.generator.mapping_z, z), model.map(z))


def test_stylecodes_and_synthesis(model: StyleMapGAN) -> None:
    op, decoder = Eager(torch.float64), model.generator.decoder
    w = random(2, *model.config.stylemap_shape)
    codes = model.stylecodes(w)
    found = network.stylecodes(op, decoder.convs_latent, w)
    assert len(found) == len(codes)
    for actual, expected in zip(found, codes):
        assert_same(actual, expected)
    assert_same(network.synthesis(op, decoder, codes), model.synthesize(codes))


def test_editor_is_the_blend() -> None:
    """Two images with two references each, shifted and overlapping, against the edit done one by one."""
    model = tiny.model(torch.float64)
    decoder, size = model.generator.decoder, tiny.SIZE
    w = tiny.stylemaps(6, dtype=torch.float64)
    masks = torch.zeros(2, 2, size, size)
    masks[0, 0, 3:20, 4:25] = masks[0, 1, 10:30, 2:18] = masks[1, 0, :16, :16] = masks[1, 1, 8:, 8:] = 1
    shifts = torch.tensor([[[5, -7], [0, 40]], [[-3, 2], [11, 0]]])
    weights = torch.tensor([0.7, 1.0], dtype=torch.float64)
    codes = model.stylecodes(w[:2])
    laid = [torch.stack([code[:2], code[2:]], 1) for code in model.stylecodes(w[2:])]
    layers = Layers(masks, shifts, weights, size)
    op = Eager(torch.float64)
    images = network.editor(op, decoder, model.config, codes, laid, layers)
    maps = network.maps(op, decoder, codes)
    laid_maps = [
        torch.stack([made[:2], made[2:]], 1) for made in network.maps(op, decoder, model.stylecodes(w[2:]))
    ]
    cached = network.cached_editor(op, decoder, model.config, (codes, maps), (laid, laid_maps), layers)
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
    model, op = goldens.model(case), Eager(torch.float32)
    w = network.encoder(op, model.encoder, goldens.images(case)[:2])
    decoder = model.generator.decoder
    images = network.synthesis(op, decoder, network.stylecodes(op, decoder.convs_latent, w))
    expected = goldens.expected(case, "reconstruction")
    assert goldens.relative_error(images, expected) < tolerance("golden", "fp32")
