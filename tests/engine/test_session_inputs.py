"""What a session refuses to take in."""

from __future__ import annotations

import pytest
import torch

import stylemap
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


def test_images_in_the_range_of_pixels() -> None:
    session = EditSession(tiny.model())
    with pytest.raises(ValueError, match=r"images: expected values in \[-1, 1\], got up to 255"):
        session.add(torch.full((3, tiny.SIZE, tiny.SIZE), 255.0))


def test_the_name_of_a_model_is_no_model() -> None:
    with pytest.raises(
        TypeError, match=r"expected a model, got a name: EditSession\(stylemap.load\('demo'\)\)"
    ):
        EditSession("demo")  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [0, 1, 2, 4, tiny.SIZE])
def test_channels(channels: int) -> None:
    session = EditSession(tiny.model())
    with pytest.raises(ValueError, match="images: expected shape N×3×32×32"):
        session.add(torch.zeros(channels, tiny.SIZE, tiny.SIZE))


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_dense_values(kind: str) -> None:
    image = torch.zeros(3, tiny.SIZE, tiny.SIZE, device="meta" if kind == "meta" else "cpu")
    with pytest.raises((TypeError, ValueError), match="images: expected"):
        EditSession(tiny.model()).add(image.to_sparse() if kind == "sparse" else image)


def test_masks_and_shifts_are_numbers() -> None:
    session = EditSession(tiny.model())
    handle = session.add(tiny.photos(1)[0])
    with pytest.raises(ValueError, match=r"mask: expected coverage from 0 to 1, got NaN"):
        session.reference(handle, torch.full((tiny.SIZE, tiny.SIZE), float("nan")))
    for shift in ((float("nan"), 0), (0, float("inf")), (0, 10**400), (1, 2, 3)):
        with pytest.raises(ValueError, match="shift: expected two numbers of pixels"):
            session.reference(handle, "box:0,0,1,1", shift)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cuda:99", "cuda:-1", "toaster", "meta"])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(ValueError, match=f"device '{device}' is not available"):
        EditSession(tiny.model(), device)
    with pytest.raises(ValueError, match=f"device '{device}' is not available"):
        stylemap.load(device=device)
