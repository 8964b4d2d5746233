"""The plain-PyTorch baselines compute the network, or comparing times with them means nothing."""

from __future__ import annotations

import pytest
import torch

from stylemap.benchmarks.baselines import Plain, Published
from tests.helpers import goldens
from tests.helpers.goldens import relative_error
from tests.helpers.tolerances import tolerance


@pytest.mark.parametrize("baseline", [Published, Plain])
@pytest.mark.parametrize("case", ["full_32_8x8", "small_64_8x8"])
def test_baseline(case: str, baseline: type[Published] | type[Plain]) -> None:
    built = baseline(goldens.model(case))
    with torch.no_grad():
        w = built.encode(goldens.images(case))
        image = built.decode(goldens.stylemaps(case)[:2])
    assert relative_error(w, goldens.expected(case, "encoder_w")) < tolerance("network", "fp32")
    assert relative_error(image, goldens.expected(case, "reconstruction")) < tolerance("network", "fp32")
