"""The CPU plan against the model in float64, and the golden outputs."""

from __future__ import annotations

import functools
import threading

import pytest
import torch
from torch import Tensor

from stylemap import program
from stylemap.config import Config
from stylemap.engine.cpu import lowering
from stylemap.engine.cpu.arena import Arena
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.plan import CpuPlan
from stylemap.model import StyleMapGAN
from stylemap.model.recipe import recipe_model
from stylemap.ops import _native
from stylemap.program import Box
from tests.helpers import goldens, needs
from tests.helpers.goldens import CASES, relative_error
from tests.helpers.tolerances import tolerance

pytestmark = needs.when(_native.loaded(), "the native library is not built")

NORMS = ("LayerNorm", "InstanceNorm2d", "BatchNorm2d", "GroupNorm")


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


def maps_of(tested: CpuPlan, codes: list[Tensor]) -> list[Tensor]:
    found = [torch.empty(tested.maps_shape(i, len(codes[0]))) for i in range(len(codes))]
    into = {layer.name: each for layer, each in zip(tested.network.maps, found, strict=True)}
    with tested.run(into) as op:
        for code, layer in zip(codes, tested.network.maps, strict=True):
            op.maps(code.permute(0, 2, 3, 1).contiguous(), layer)
    return found


def from_maps(tested: CpuPlan, maps: list[Tensor]) -> Tensor:
    with tested.run() as op:
        return program.synthesize_from_maps(op, tested.network, maps)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("small", [False, True], ids=["full", "small"])
@pytest.mark.parametrize("norm", NORMS)
def test_against_the_model_in_float64(norm: str, small: bool, precision: str) -> None:
    reference, tested = model(norm, small), plan(norm, small, precision=precision)
    limit = tolerance("network", precision)
    x = images(reference.config, 2)
    w = reference.encode(x.double())
    codes = reference.stylecodes(w)
    image = reference.synthesize(codes)
    assert relative_error(tested.encode(x), w) < limit
    for actual, expected in zip(tested.stylecodes(w.float()), codes, strict=True):
        assert relative_error(actual, expected) < limit
    assert relative_error(tested.decode(w.float()), image) < limit
    single = [code.float() for code in codes]
    assert relative_error(tested.synthesize(single), image) < limit
    assert relative_error(from_maps(tested, maps_of(tested, single)), image) < limit


# Other norms in bf16: test_against_the_model_in_float64.
GOLDENS = [*((case, "fp32") for case in CASES), *((case, "bf16") for case in CASES[:2])]


@pytest.mark.parametrize(("case", "precision"), GOLDENS)
def test_goldens(case: str, precision: str) -> None:
    tested = CpuPlan(goldens.model(case), precision)
    w = tested.encode(goldens.images(case))
    assert relative_error(w, goldens.expected(case, "encoder_w")) < tolerance("network", precision)
    exact = goldens.stylemaps(case)[:2]
    assert relative_error(tested.decode(exact), goldens.expected(case, "reconstruction")) < tolerance(
        "network", precision
    )


@pytest.mark.parametrize("side", [4, 8, 16])
@pytest.mark.parametrize("batch", [1, 3])
def test_sizes_and_batches(side: int, batch: int) -> None:
    reference = model(side=side)
    x = images(reference.config, batch)
    tested = plan(side=side)
    w = reference.encode(x.double())
    assert relative_error(tested.encode(x), w) < tolerance("network", "fp32")
    assert relative_error(tested.decode(w.float()), reference.decode(w)) < tolerance("network", "fp32")


def test_every_path_to_an_image_agrees() -> None:
    tested = plan()
    w = tested.encode(images(tested.config, 2))
    codes = tested.stylecodes(w)
    image = tested.decode(w)
    assert torch.equal(tested.synthesize(codes), image)
    assert relative_error(from_maps(tested, maps_of(tested, codes)), image) < 1e-6


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
    first = [tested.decode(w), *tested.stylecodes(w), *maps_of(tested, tested.stylecodes(w))]
    kept = [tensor.clone() for tensor in first]
    other = tested.encode(-images(tested.config, 2))
    maps_of(tested, tested.stylecodes(other))
    tested.decode(other)
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_codes_and_maps_are_written_into_given_memory(dtype: torch.dtype) -> None:
    tested = plan()
    w = tested.encode(images(tested.config, 1))
    expected = tested.stylecodes(w)
    codes = [torch.full((r * r, c), float("nan"), dtype=dtype) for c, r, _ in tested.config.stylecode_shapes]
    maps = [
        torch.full(tested.maps_shape(i), float("nan"), dtype=dtype) for i in range(len(tested.network.maps))
    ]
    tested.write(w, codes, maps)
    for code, value in zip(codes, expected, strict=True):
        assert torch.equal(code, value[0].flatten(1).T.to(dtype))
    for made, value in zip(maps, maps_of(tested, expected), strict=True):
        assert torch.equal(made, value.to(dtype))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_maps_of_a_large_code_are_made_in_bands(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """With the same bits."""
    side = 8
    tested = CpuPlan(model(side=side), precision)
    last = len(tested.network.maps) - 1
    height = tested.maps_shape(last)[1]
    w = tested.encode(images(tested.config, 1))

    def written() -> list[Tensor]:
        maps = [torch.full(tested.maps_shape(i), float("nan")) for i in range(last + 1)]
        tested.write(w, [None] * len(maps), list(maps))
        return maps

    whole = written()
    bands: list[int] = []
    convolve = lowering.convolve_tiles

    def watched(conv: Convolution, arena: Arena, x: Tensor, tiles: Tensor, out: Tensor) -> None:
        bands.append(x.shape[1])
        convolve(conv, arena, x, tiles, out)

    monkeypatch.setattr(lowering, "convolve_tiles", watched)
    monkeypatch.setattr(lowering, "_BAND", 12)
    monkeypatch.setattr("stylemap.engine.cpu.plan._LARGE_CODE", 0)
    for made, value in zip(written(), whole, strict=True):
        assert torch.equal(made, value)
    assert len(bands) >= 2 * -(-height // 12)
    assert max(bands) < height


def test_one_channel_of_a_stylemap_is_not_memory_of_the_plan() -> None:
    """N×1×L×L is laid out alike with its channels first or last: no copy may be left out."""
    config = Config(
        size=8, latent_spatial_size=4, latent_channel_size=1, mapping_layer_num=1, channel_table={4: 8, 8: 8}
    )
    tested = CpuPlan(recipe_model(config))
    x = images(config, 2)
    w = tested.encode(x)
    kept = w.clone()
    tested.encode(-x)
    tested.decode(-w)
    assert torch.equal(w, kept)


def test_a_part_of_full_width_is_a_copy() -> None:
    """The features that it was cut from are given back to the arena while it is in use."""
    tested = plan()
    with tested.run() as op:
        x = torch.arange(64.0).view(1, 8, 4, 2)
        part = op.crop(x, Box(4, 1, 3, 0, 4))
        assert torch.equal(part, x[:, 2:6])
        x.zero_()
        assert part.all()


def test_memory_is_reported() -> None:
    tested = CpuPlan(model())
    tested.decode(tested.encode(images(tested.config, 1)))
    assert tested.bytes["weights"] > 0
    assert tested.bytes["activations"] > 0


def test_errors_name_the_argument() -> None:
    tested = plan()
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16"):
        CpuPlan(model(), "int8")
    with pytest.raises(ValueError, match="images"):
        tested.encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(TypeError, match="stylemap"):
        tested.decode(torch.zeros(1, 12, 4, 4, dtype=torch.float64))
    odd = recipe_model(model().config)
    odd.generator.decoder.convs[0].skip[1].kernel[0, 0] += 0.25  # type: ignore[index]
    with pytest.raises(ValueError, match="blur"):
        CpuPlan(odd)
