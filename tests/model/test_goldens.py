"""The networks reproduce the golden outputs, with the state-dict layout of the published checkpoints."""

from __future__ import annotations

import pytest
import torch

from stylemap.model.recipe import recipe_tensor
from tests.helpers import goldens
from tests.helpers.goldens import CASES, DTYPES, relative_error
from tests.helpers.tolerances import tolerance

K = 64
EVERY = [(case, dtype) for case in CASES for dtype in DTYPES]
# float64 convolutions are slow, and mapping and truncation do not differ between generators.
SAMPLED = [("full_32_8x8", torch.float32), ("full_32_8x8", torch.float64), ("small_64_8x8", torch.float32)]


@pytest.mark.parametrize("case", CASES)
def test_state_dict_layout(case: str) -> None:
    layout = goldens.description(case)["state_dict"]
    model = goldens.model(case)
    assert goldens.shapes(model.generator) == layout["generator"]
    assert goldens.shapes(model.encoder) == layout["encoder"]
    if "discriminator" in layout:
        assert goldens.shapes(goldens.discriminator(case)) == layout["discriminator"]


@pytest.mark.parametrize(("case", "dtype"), EVERY)
def test_encode(case: str, dtype: torch.dtype) -> None:
    w = goldens.model(case, dtype).encode(goldens.images(case, dtype))
    assert w.dtype == dtype
    assert relative_error(w, goldens.expected(case, "encoder_w")) < tolerance("golden", dtype)


@pytest.mark.parametrize(("case", "dtype"), EVERY)
def test_decode(case: str, dtype: torch.dtype) -> None:
    image = goldens.model(case, dtype).decode(goldens.stylemaps(case, dtype)[:2])
    assert relative_error(image, goldens.expected(case, "reconstruction")) < tolerance("golden", dtype)


@pytest.mark.parametrize("case", CASES)
def test_reconstruct(case: str) -> None:
    image = goldens.model(case)(goldens.images(case)[:2])
    assert relative_error(image, goldens.expected(case, "reconstruction")) < tolerance(
        "golden", torch.float32
    )


@pytest.mark.parametrize(("case", "dtype"), SAMPLED)
def test_sample(case: str, dtype: torch.dtype) -> None:
    z = goldens.normal("z", (4, K), dtype)[:2]
    image = goldens.model(case, dtype).sample(z)
    assert relative_error(image, goldens.expected(case, "random")) < tolerance("golden", dtype)


@pytest.mark.parametrize(("case", "dtype"), SAMPLED)
def test_sample_with_truncation(case: str, dtype: torch.dtype) -> None:
    model = goldens.model(case, dtype)
    mean = model.map(goldens.normal("z_mean", (64, K), dtype)).mean(0, keepdim=True)
    assert relative_error(mean.flatten(1), goldens.expected(case, "mean_stylemap")) < tolerance(
        "golden", dtype
    )
    image = model.sample(goldens.normal("z", (4, K), dtype)[:2], truncation=0.7, mean_stylemap=mean)
    assert relative_error(image, goldens.expected(case, "random_truncated")) < tolerance("golden", dtype)


@pytest.mark.parametrize(("case", "dtype"), SAMPLED)
def test_interpolation(case: str, dtype: torch.dtype) -> None:
    w = goldens.stylemaps(case, torch.float64)
    image = goldens.model(case, dtype).decode((0.3 * w[:1] + 0.7 * w[1:2]).to(dtype))
    assert relative_error(image, goldens.expected(case, "w_interpolation")) < tolerance("golden", dtype)


def test_recipe_is_the_delivered_one() -> None:
    for key, shape in [
        ("mapping_z.1.weight", (64, 64)),
        ("encoder.final_conv.1.bias", (64,)),
        ("decoder.conv1.conv.gamma.bias", (512,)),
        ("discriminator.convs.0.0.weight", (8, 3, 1, 1)),
    ]:
        expected = torch.from_numpy(goldens.recipe().weight(key, shape))
        assert torch.equal(recipe_tensor(key, shape), expected)
