"""What a session refuses to take in."""

from __future__ import annotations

import pytest
import torch

from stylemap import EditSession
from tests.helpers import tiny


def test_images_and_stylemaps_are_of_finite_numbers() -> None:
    session, photo, w = EditSession(tiny.model()), tiny.photos(1)[0], tiny.stylemaps(1)
    with pytest.raises(TypeError, match="images: expected a floating-point dtype, got uint8"):
        session.add((photo * 255).to(torch.uint8))
    with pytest.raises(TypeError, match="stylemap: expected a floating-point dtype, got int64"):
        session.add_stylemap(w.long())
    for value in (float("nan"), float("inf")):
        spoilt = photo.clone()
        spoilt[1, 2, 3] = value
        with pytest.raises(ValueError, match="images: expected finite values"):
            session.add(spoilt)
        with pytest.raises(ValueError, match="stylemap: expected finite values"):
            session.add_stylemap(torch.full_like(w, value))
    assert session.stats()["images"] == 0
    session.add(photo)
