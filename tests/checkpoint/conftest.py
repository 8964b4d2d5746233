"""A published checkpoint as a Python object, to be changed and saved again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stylemap.checkpoint import save_published
from tests.helpers import small


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("content") / "a.pt"
    save_published(small.model(), path)
    values: dict[str, Any] = torch.load(path, weights_only=False)
    return values
