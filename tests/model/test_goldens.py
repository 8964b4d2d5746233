"""The networks reproduce the golden outputs, with the state-dict layout of the published checkpoints."""

from __future__ import annotations

import pytest
import torch

from stylemap.model.recipe import recipe_tensor
from tests.helpers import goldens
from tests.helpers.goldens import CASES, DTYPES, TOLERANCE, relative_error

K = 64
SAMPLED = ("full_32_8x8", "small_64_8x8")


@pytest.fixture(params=DTYPES, ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.mark.parametrize("case", CASES)
def test_state_dict_layout(case: str) -> None:
    layout = goldens.description(case)["state_dict"]
    model = goldens.model(case)
    assert goldens.shapes(model.generator) == layout["generator"]
    assert goldens.shapes(model.encoder) == layout["encoder"]
    if "discriminator" in layout:
        assert goldens.shapes(goldens.discriminator(case)) == layout["discriminator"]


@pytest.mark.parametrize("case", CASES)
def test_encode(case: str, dtype: torch.dtype) -> None:
    w = goldens.model(case, dtype).encode(goldens.images(case, dtype))
    assert w.dtype == dtype
    assert relative_error(w, goldens.expected(case, "encoder_w")) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", CASES)
def test_reconstruct(case: str, dtype: torch.dtype) -> None:
    image = goldens.model(case, dtype)(goldens.images(case, dtype)[:2])
    assert relative_error(image, goldens.expected(case, "reconstruction")) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", SAMPLED)
def test_sample(case: str, dtype: torch.dtype) -> None:
    z = goldens.normal("z", (4, K), dtype)[:2]
    image = goldens.model(case, dtype).sample(z)
    assert relative_error(image, goldens.expected(case, "random")) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", SAMPLED)
def test_sample_with_truncation(case: str, dtype: torch.dtype) -> None:
    model = goldens.model(case, dtype)
    mean = model.map(goldens.normal("z_mean", (64, K), dtype)).mean(0, keepdim=True)
    assert relative_error(mean.flatten(1), goldens.expected(case, "mean_stylemap")) < TOLERANCE[dtype]
    image = model.sample(goldens.normal("z", (4, K), dtype)[:2], truncation=0.7, mean_stylemap=mean)
    assert relative_error(image, goldens.expected(case, "random_truncated")) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", SAMPLED)
def test_interpolation(case: str, dtype: torch.dtype) -> None:
    w = goldens.stylemaps(case, torch.float64)
    image = goldens.model(case, dtype).decode((0.3 * w[:1] + 0.7 * w[1:2]).to(dtype))
    assert relative_error(image, goldens.expected(case, "w_interpolation")) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", SAMPLED)
@pytest.mark.parametrize("name", ["mix_coarse", "mix_fine"])
def test_synthesize_mixed_codes(case: str, dtype: torch.dtype, name: str) -> None:
    model, w = goldens.model(case, dtype), goldens.stylemaps(case, dtype)
    a, b = model.stylecodes(w[:2]), model.stylecodes(w[1:])
    codes = a[:2] + b[2:] if name == "mix_coarse" else b[:2] + a[2:]
    assert relative_error(model.synthesize(codes), goldens.expected(case, name)) < TOLERANCE[dtype]


def test_recipe_is_the_delivered_one() -> None:
    for key, shape in [
        ("mapping_z.1.weight", (64, 64)),
        ("encoder.final_conv.1.bias", (64,)),
        ("decoder.conv1.conv.gamma.bias", (512,)),
        ("discriminator.convs.0.0.weight", (8, 3, 1, 1)),
    ]:
        expected = torch.from_numpy(goldens.recipe().weight(key, shape))
        assert torch.equal(recipe_tensor(key, shape), expected)
