"""Servers of the tiny model for tests that need no limits of their own, and a browser for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch

from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.browser import EditorPage, chromium


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def smiling(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A studio with directions."""
    return serving.studio(directions=serving.two_directions(tmp_path_factory.mktemp("directions")))


@pytest.fixture(scope="module")
def place(smiling: Studio) -> Iterator[str]:
    with serving.running(smiling) as address:
        yield address


@pytest.fixture
def page(browser: Any, place: str) -> Iterator[EditorPage]:
    with EditorPage(browser, place) as page:
        yield page
