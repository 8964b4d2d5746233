"""README's screenshot and its animation of painting: `pytest tests/editor/test_pictures.py --write-pictures`
writes them with the bundled model; without, they are made with a small one, and thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stylemap
from stylemap import assets
from stylemap.editor.studio import Studio
from tests.editor import screenshot, serving

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def written(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--write-pictures"))


@pytest.fixture(scope="module")
def shown(written: bool, smiling: Studio) -> Iterator[str]:
    """An editor: of the bundled model for the documentation, of the small one else."""
    model = assets.demo_model() if written else None
    studio = smiling if model is None else serving.studio(model=stylemap.load(model), name=model.name)
    with serving.running(studio) as address:
        yield address


def test_the_screenshot(browser: Any, shown: str, written: bool, tmp_path: Path) -> None:
    path = (DOCS if written else tmp_path) / "editor.png"
    screenshot.take(browser, shown, path)
    picture = np.asarray(Image.open(path).convert("L")).astype(int)
    assert picture.shape == (900, 1440)
    # Every panel of the page has something in it.
    for top, bottom, left, right in (
        (0, 55, 0, 1440),
        (70, 880, 20, 270),
        (120, 680, 310, 860),
        (70, 600, 1120, 1420),
    ):
        assert picture[top:bottom, left:right].std() > 8


def test_the_animation_of_painting(browser: Any, shown: str, written: bool, tmp_path: Path) -> None:
    path = (DOCS if written else tmp_path) / "editor.gif"
    screenshot.record(browser, shown, path, **({} if written else {"steps": 1}))
    with Image.open(path) as picture:
        assert picture.size == (960, 600)
        assert picture.n_frames > 10
        first = np.asarray(picture.convert("RGB")).astype(int)
        picture.seek(picture.n_frames - 1)
        last = np.asarray(picture.convert("RGB")).astype(int)
    assert (abs(last - first).sum(-1) > 60).mean() > 0.002  # something is painted
