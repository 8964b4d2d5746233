"""The GPU plan on a CPU, where its passes are plain PyTorch, against the model in float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stylemap import program
from stylemap.config import Config
from stylemap.engine.gpu.plan import GpuPlan, why_not
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from tests.helpers import goldens
from tests.helpers.goldens import relative_error
from tests.helpers.recorder import GraphRecorder
from tests.helpers.tolerances import tolerance

pytestmark = pytest.mark.usefixtures("one_thread")
NORMS = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def model(size: int = 32, cells: int = 8, norm: str = "LayerNorm", small: bool = False) -> StyleMapGAN:
    config = Config(
        size=size,
        latent_channel_size=16,
        latent_spatial_size=cells,
        mapping_layer_num=2,
        normalize_mode=norm,
        small_generator=small,
        channel_table={4: 64, 8: 48, 16: 64, 32: 32, 64: 24},
    )
    made = recipe_model(config, torch.float64)
    generator = torch.Generator().manual_seed(1)
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3, generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=generator)
    return made


def photos(size: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def check(network: StyleMapGAN, precision: str, limit: float | None = None) -> None:
    """Everything a plan does, recorded and replayed."""
    recorder = GraphRecorder()
    plan = GpuPlan(network, "cpu", precision, capture=recorder)
    images = photos(network.config.size).double()
    with torch.no_grad():
        w = network.encode(images)
        codes, decoded = network.stylecodes(w), network.decode(w)
    wide = plan.like.dtype
    limit = tolerance("network", precision) if limit is None else limit
    for _ in range(2):
        own = plan.stylecodes(w.to(wide))
        maps = list(program.maps(plan.op, plan.network, own))
        results = {
            "encode": (plan.encode(images.to(wide)), w),
            "decode": (plan.decode(w.to(wide)), decoded),
            "synthesize": (plan.synthesize(own), decoded),
            "maps": (program.synthesize_from_maps(plan.op, plan.network, maps), decoded),
            **{f"code {i}": pair for i, pair in enumerate(zip(own, codes, strict=True))},
        }
        for name, (actual, expected) in results.items():
            assert actual.shape == expected.shape, name
            assert relative_error(actual, expected) < limit, name
    assert recorder.captures == recorder.replays == 4


@pytest.mark.parametrize("precision", ["fp64", "fp32"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("norm", NORMS)
def test_all_generators_and_norms(norm: str, small: bool, precision: str) -> None:
    check(model(norm=norm, small=small), precision)


@pytest.mark.parametrize(("size", "cells"), [(16, 8), (16, 4), (64, 4)])
def test_sizes(size: int, cells: int) -> None:
    check(model(size, cells), "fp64")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
def test_half_precision(small: bool, precision: str) -> None:
    check(model(small=small), precision)


@pytest.mark.parametrize("case", goldens.CASES)
def test_goldens(case: str) -> None:
    plan = GpuPlan(goldens.model(case), "cpu", "fp32")
    image = plan.decode(goldens.stylemaps(case, torch.float32)[:2])
    assert relative_error(image, goldens.expected(case, "reconstruction")) < tolerance("network", "fp32")


def test_batches_have_programs_of_their_own() -> None:
    recorder = GraphRecorder()
    plan = GpuPlan(model(), "cpu", "fp64", capture=recorder)
    ws = torch.randn(3, 16, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = model().decode(ws)
    for count in (1, 3, 2, 1, 3):
        assert relative_error(plan.decode(ws[:count]), expected[:count]) < tolerance("network", "fp64")
    assert (recorder.captures, recorder.replays) == (3, 2)
    assert plan.bytes["activations"] > 0


def test_without_graphs(caplog: pytest.LogCaptureFixture) -> None:
    w = torch.randn(1, 16, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plan = GpuPlan(model(), "cpu", "fp64", capture=GraphRecorder(failing=True))
    for _ in range(2):
        assert relative_error(plan.decode(w), model().decode(w)) < tolerance("network", "fp64")
    assert caplog.text.count("runs without a CUDA graph: operation not permitted") == 1


def test_later_changes_of_the_model_do_not_show() -> None:
    changed = recipe_model(model().config, torch.float64)
    plan = GpuPlan(changed, "cpu", "fp64")
    w = torch.zeros(1, 16, 8, 8, dtype=torch.float64)
    before = plan.decode(w)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert torch.equal(plan.decode(w), before)


def test_which_models_suit_the_kernels() -> None:
    def reason(**options: object) -> str:
        with torch.device("meta"):
            network = StyleMapGAN(Config(size=16, latent_spatial_size=8, **options))  # type: ignore[arg-type]
        for block in network.modules():
            for name, buffer in block.named_buffers(recurse=False):
                block._buffers[name] = torch.ones(4, 4) if name == "kernel" else buffer
        return why_not(network, torch.float16) or ""

    assert "multiples of 8, and this model has 12" in reason(channel_table={8: 12, 16: 8})
    assert "up to 512 channels of torch.float16, and this model has 520" in reason(channel_table={16: 520})
    assert "another filter in generator.decoder.convs.0.conv1.conv.blur.kernel" in reason()
    assert why_not(model(), torch.float32) is None


def test_errors() -> None:
    plan = GpuPlan(model(), "cpu", "fp32")
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16, fp16, fp64, got 'int8'"):
        GpuPlan(model(), "cpu", "int8")
    with pytest.raises(ValueError, match="stylemap: expected shape N×16×8×8"):
        plan.decode(torch.zeros(1, 16, 4, 4))
    with pytest.raises(TypeError, match="images: expected float32"):
        plan.encode(torch.zeros(1, 3, 32, 32, dtype=torch.float64))
    with pytest.raises(ValueError, match="codes: expected 6 stylecodes"):
        plan.synthesize([])
