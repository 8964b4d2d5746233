"""A service without limits that tests would meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stylemap.serving.service import Local
from tests.editor import serving
from tests.serving import running


@pytest.fixture(scope="package")
def directions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serving.two_directions(tmp_path_factory.mktemp("directions"))


@pytest.fixture(scope="package")
def served(
    model_file: str, directions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, Local]]:
    folder = tmp_path_factory.mktemp("photos")
    with running.service(model_file, folder, directions=str(directions)) as found:
        yield found


@pytest.fixture
def http(served: tuple[httpx.Client, Local]) -> httpx.Client:
    return served[0]


@pytest.fixture
def deployment(model_file: str, directions: Path, tmp_path: Path) -> Iterator[running.Deployment]:
    found = running.Deployment(model_file, tmp_path / "photos", directions=str(directions))
    found.start()
    yield found
    found.stop()
