"""Measured choices: kept in a file, used by the next plan, and never a change of the function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stylemap.config import Config
from stylemap.engine.cpu import tuning
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.engine.cpu.shapes import Blocking, Mode, Shape, candidates, default_blocking
from stylemap.engine.cpu.tuning import Timings
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from tests.helpers.goldens import relative_error

pytestmark = pytest.mark.skipif(not _native.loaded(), reason="the native library is not built")

SHAPE = Shape(Mode.PLAIN, 4, False, 16, 32, 1, 16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEMAP_CACHE", str(tmp_path))
    return tmp_path / "conv2d.json"


@pytest.fixture(scope="module")
def model() -> StyleMapGAN:
    config = Config(
        size=16,
        latent_channel_size=8,
        latent_spatial_size=4,
        mapping_layer_num=2,
        channel_table={4: 32, 8: 32, 16: 16},
    )
    return recipe_model(config)


def test_measurements_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Timings().measure([SHAPE])
    assert cache.is_file()
    known = Timings().get(SHAPE)
    assert known is not None
    assert known.blocking in candidates(SHAPE)
    assert 0 < known.seconds < 1

    def fail(shape: Shape) -> None:
        raise AssertionError(f"{shape} was measured again")

    monkeypatch.setattr(tuning, "_measure", fail)
    Timings().measure([SHAPE])


def test_other_threads_and_instruction_sets_are_measured_by_themselves() -> None:
    Timings().measure([SHAPE])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert Timings().get(SHAPE) is None
    finally:
        torch.set_num_threads(before)
    try:
        torch.ops.stylemap.conv2d_select_isa("generic")
        assert Timings().get(SHAPE) is None
    finally:
        torch.ops.stylemap.conv2d_select_isa("auto")
    assert Timings().get(SHAPE) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1, 2]}', '{"a": ["x", "y", "z"]}'])
def test_a_damaged_file_is_measured_again(cache: Path, text: str) -> None:
    cache.write_text(text)
    timings = Timings()
    assert timings.get(SHAPE) is None
    timings.measure([SHAPE])
    assert json.loads(cache.read_text())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_tuned_plan(model: StyleMapGAN, precision: str) -> None:
    w = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = CpuPlan(model, precision)
    assert "not measured" in plain.describe()
    tuned = CpuPlan(model, precision, tune=True)
    lines = tuned.describe().splitlines()
    assert len(lines) == len(tuned.convolutions())
    assert all(line.endswith(" ms") for line in lines)
    assert relative_error(tuned.decode(w), plain.decode(w)) < (1e-5 if precision == "fp32" else 2e-2)
    assert CpuPlan(model, precision).describe() == tuned.describe()


def test_describe_names_algorithm_and_cut(model: StyleMapGAN) -> None:
    text = CpuPlan(model).describe()
    assert "main.1" in text
    assert "up fp32 32→32 at 1×4²" in text
    assert "down fp32 16→32 at 1×8²" in text
    assert "groups of 32" in text


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("channels", [(16, 32), (128, 256), (512, 1024)])
@pytest.mark.parametrize("side", [4, 64, 1024])
def test_cuts_are_of_reasonable_size(mode: Mode, channels: tuple[int, int], side: int) -> None:
    tile = 4 if mode == Mode.PLAIN else 2
    shape = Shape(mode, tile, False, *channels, 1, side)
    cuts = candidates(shape)
    assert cuts[0] == default_blocking(shape)
    for cut in cuts:
        assert cut.tiles % 4 == 0
        assert cut.shared or mode != Mode.UP
        size = shape.input_bytes + shape.product_bytes if cut.shared else shape.input_bytes
        assert cut.tiles <= 32 or cut.tiles * size <= 100 << 20
    assert Blocking(True, 0) not in cuts
