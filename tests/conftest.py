"""What every test shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers import goldens


@pytest.fixture(autouse=True, scope="module")
def _models_are_released() -> Iterator[None]:
    """The large models one module uses do not take memory from the next."""
    yield
    goldens.release()
