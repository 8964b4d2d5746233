"""Layers say what the checkpoints' modules are, and their weights are folded from those."""

from __future__ import annotations

import pytest
import torch

from stylemap import program
from stylemap.config import Config
from stylemap.program import Mode
from tests.program.networks import CONFIGS, model_of, name_of


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_layers_have_the_shapes_of_their_weights(config: Config) -> None:
    weights = program.Weights(model_of(config))
    net = weights.network
    layers = list(net.convolutions())
    skips = [each.skip for each in (*net.blocks, *net.styled) if each.skip is not None]
    without_bias = {net.to_rgb.conv, *skips}
    assert len({layer.name for layer in layers}) == len(layers)
    for layer in layers:
        weight, bias = weights.conv(layer)
        assert weight.shape == (layer.outputs, layer.inputs, layer.size, layer.size), layer
        assert weight.dtype == torch.float64
        assert (bias is None) == (layer in without_bias)
        assert bias is None or bias.shape == (layer.outputs,)
    for linear in net.mapping:
        assert weights.linear(linear).weight.shape == (linear.outputs, linear.inputs)
    for layer, (channels, side, _) in zip(net.codes, config.stylecode_shapes, strict=True):
        assert (layer.outputs, layer.side) == (channels, side // 2 if layer.mode is Mode.UP else side)


def test_another_blur_is_refused() -> None:
    model = model_of(CONFIGS[0])
    model.generator.decoder.convs[0].conv1.conv.blur.kernel[0, 0] += 0.25  # type: ignore[index, union-attr, operator]
    with pytest.raises(ValueError, match=r"\[1, 3, 3, 1\].*generator.decoder.convs.0.conv1.conv.blur.kernel"):
        program.Weights(model)
