"""The CPU plan against the model in float64, and the golden outputs."""

from __future__ import annotations

import functools
import threading

import pytest
import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from tests.helpers import goldens
from tests.helpers.goldens import CASES, relative_error

pytestmark = pytest.mark.skipif(not _native.loaded(), reason="the native library is not built")

NORMS = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}


@functools.cache
def model(norm: str = "LayerNorm", small: bool = False, side: int = 4) -> StyleMapGAN:
    """A float64 model with widths that fit no block, and running statistics that are not 0 and 1."""
    config = Config(
        size=8 * side,
        latent_channel_size=12,
        latent_spatial_size=side,
        mapping_layer_num=2,
        normalize_mode=norm,
        small_generator=small,
        channel_table={side: 40, 2 * side: 48, 4 * side: 24, 8 * side: 8},
    )
    built = recipe_model(config, torch.float64)
    generator = torch.Generator().manual_seed(1)
    for name, buffer in built.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)
    return built


@functools.cache
def plan(norm: str = "LayerNorm", small: bool = False, side: int = 4, precision: str = "fp32") -> CpuPlan:
    return CpuPlan(model(norm, small, side), precision)


def images(config: Config, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(batch, 3, config.size, config.size, generator=generator) * 2 - 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("norm", NORMS)
def test_against_the_model_in_float64(norm: str, small: bool, precision: str) -> None:
    reference, tested = model(norm, small), plan(norm, small, precision=precision)
    tolerance = TOLERANCE[precision]
    x = images(reference.config, 2)
    w = reference.encode(x.double())
    codes = reference.stylecodes(w)
    image = reference.synthesize(codes)
    assert relative_error(tested.encode(x), w) < tolerance
    for actual, expected in zip(tested.stylecodes(w.float()), codes, strict=True):
        assert relative_error(actual, expected) < tolerance
    assert relative_error(tested.decode(w.float()), image) < tolerance
    single = [code.float() for code in codes]
    assert relative_error(tested.synthesize(single), image) < tolerance
    assert relative_error(tested.synthesize_from_modulations(tested.modulations(single)), image) < tolerance


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_goldens(case: str, precision: str) -> None:
    tested = CpuPlan(goldens.model(case), precision)
    w = tested.encode(goldens.images(case))
    assert relative_error(w, goldens.expected(case, "encoder_w")) < TOLERANCE[precision]
    exact = goldens.stylemaps(case)[:2]
    assert (
        relative_error(tested.decode(exact), goldens.expected(case, "reconstruction")) < TOLERANCE[precision]
    )


@pytest.mark.parametrize("side", [4, 8, 16])
@pytest.mark.parametrize("batch", [1, 3])
def test_sizes_and_batches(side: int, batch: int) -> None:
    reference = model(side=side)
    x = images(reference.config, batch)
    tested = plan(side=side)
    w = reference.encode(x.double())
    assert relative_error(tested.encode(x), w) < 1e-5
    assert relative_error(tested.decode(w.float()), reference.decode(w)) < 1e-5


def test_every_path_to_an_image_agrees() -> None:
    tested = plan()
    w = tested.encode(images(tested.config, 2))
    codes = tested.stylecodes(w)
    image = tested.decode(w)
    assert torch.equal(tested.synthesize(codes), image)
    from_maps = tested.synthesize_from_modulations(tested.modulations(codes))
    assert relative_error(from_maps, image) < 1e-6


def test_samples_do_not_depend_on_their_batch() -> None:
    tested = plan()
    x = images(tested.config, 3)
    w = tested.encode(x)
    assert torch.equal(tested.encode(x[1:2]), w[1:2])
    assert torch.equal(tested.decode(w[1:2]), tested.decode(w)[1:2])


def test_repeated_and_threaded_calls_give_the_same_bits() -> None:
    tested = plan()
    w = tested.encode(images(tested.config, 2))
    expected = tested.decode(w)
    results: list[Tensor] = []
    workers = [threading.Thread(target=lambda: results.append(tested.decode(w))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        results.append(tested.decode(w))
    finally:
        torch.set_num_threads(before)
    assert len(results) == 5
    assert all(torch.equal(result, expected) for result in results)


def test_results_are_not_overwritten_by_later_calls() -> None:
    tested = plan()
    w = tested.encode(images(tested.config, 2))
    first = [tested.decode(w), *tested.stylecodes(w), *tested.modulations(tested.stylecodes(w))]
    kept = [tensor.clone() for tensor in first]
    other = tested.encode(-images(tested.config, 2))
    tested.modulations(tested.stylecodes(other))
    tested.decode(other)
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


def test_modulations_into_given_memory() -> None:
    tested = plan()
    codes = tested.stylecodes(tested.encode(images(tested.config, 1)))
    expected = tested.modulations(codes)
    out = [torch.full(tested.maps_shape(i), float("nan")) for i in range(len(codes))]
    returned = tested.modulations(codes, out)
    for given, result, value in zip(out, returned, expected, strict=True):
        assert result.data_ptr() == given.data_ptr()
        assert torch.equal(given, value)


def test_memory_is_reported_and_given_back() -> None:
    tested = CpuPlan(model())
    tested.decode(tested.encode(images(tested.config, 1)))
    assert tested.bytes["weights"] > 0
    assert tested.bytes["activations"] > 0
    tested.trim()
    assert tested.bytes["activations"] == 0


def test_errors_name_the_argument() -> None:
    tested = plan()
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16"):
        CpuPlan(model(), "int8")
    with pytest.raises(ValueError, match="images"):
        tested.encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(TypeError, match="stylemap"):
        tested.decode(torch.zeros(1, 12, 4, 4, dtype=torch.float64))
    maps = tested.modulations(tested.stylecodes(torch.zeros(1, 12, 4, 4)))
    with pytest.raises(ValueError, match=r"maps\[2\]"):
        tested.synthesize_from_modulations([*maps[:2], maps[0], *maps[3:]])
