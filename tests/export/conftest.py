"""An exported tiny model, once per test session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers import tiny


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all graphs of `tiny.model()` in float32. Not to be changed: copy what is."""
    from stylemap.export import export_onnx, ports

    folder = tmp_path_factory.mktemp("exported")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    export_onnx(tiny.model(), folder, ports.ALL, photos=tiny.photos(3))
    torch.set_num_threads(before)
    return folder


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread: None) -> None:
    """In every test here."""


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield
