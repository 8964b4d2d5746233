"""One server of the tiny model for all tests that do not need limits of their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import torch

from stylemap.editor.studio import Studio
from tests.editor import serving


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def studio() -> Studio:
    return serving.studio()


@pytest.fixture(scope="session")
def address(studio: Studio) -> Iterator[str]:
    with serving.running(studio) as address:
        yield address


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", timeout=20) as client:
        yield client
