"""Automatic masks in the page, by a segmenter in an ONNX file."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.browser import EditorPage
from tests.helpers import needs, tiny

SIZE = tiny.SIZE


@pytest.fixture(scope="module")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A studio whose segmenter knows red from dark."""
    needs.package("onnxruntime")
    file = tmp_path_factory.mktemp("segmenter") / "two.onnx"
    return serving.studio(segmenter=serving.red_and_dark(file, names=json.dumps(["dark", "red"])))


@pytest.fixture(scope="module")
def segmented(segmenting: Studio) -> Iterator[str]:
    with serving.running(segmenting) as address:
        yield address


def _half_red() -> bytes:
    picture = Image.new("RGB", (SIZE, SIZE))
    picture.paste((255, 0, 0), (0, 0, SIZE // 2, SIZE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _upload_as_reference(page: EditorPage) -> None:
    page.page.click("#use button[value=reference]")
    file = {"name": "red.png", "mimeType": "image/png", "buffer": _half_red()}
    page.page.set_input_files("#upload", file)
    page.page.wait_for_selector("#crop[open]")
    page.page.click("#crop button[value=add]")
    page.page.wait_for_function("() => stylemap.editor.reference()?.image.startsWith('u')")
    page.settle()


def _offered(page: EditorPage) -> list[str]:
    """The names of the parts, when they are there."""
    page.page.wait_for_selector("#mask-parts button")
    return page.page.locator("#mask-parts button").all_inner_texts()


def test_a_segmenters_parts_are_offered_and_used(browser: Any, segmented: str) -> None:
    with EditorPage(browser, segmented) as page:
        _upload_as_reference(page)
        before = page.image()
        page.page.click("#mask-more")
        assert _offered(page) == ["dark", "red"]
        page.page.click("#mask-parts button[value=red]")
        page.settle()
        columns = np.arange(SIZE) < SIZE // 2
        assert (page.mask(page.do("stylemap.editor.active")) == 255 * columns).all()
        assert (page.image() != before).any()
        page.page.keyboard.press("Escape")
        page.photo(3, "reference")  # drawn: known without a segmenter
        page.page.click("#mask-more")
        assert "nose" in _offered(page)


def test_no_parts_of_another_photo_while_a_segmenter_looks(
    browser: Any, segmented: str, segmenting: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segmenting.segmenter is not None
    go, labels = threading.Event(), segmenting.segmenter.labels

    def slowly(picture: Image.Image) -> Any:
        assert go.wait(30)
        return labels(picture)

    with EditorPage(browser, segmented) as page:
        page.page.click("#mask-more")
        assert "nose" in _offered(page)
        page.page.keyboard.press("Escape")
        _upload_as_reference(page)
        monkeypatch.setattr(segmenting.segmenter, "labels", slowly)
        page.page.click("#mask-more")
        page.page.wait_for_selector("#mask-parts-hint:text('Looking')")
        assert page.page.locator("#mask-parts button").count() == 0
        go.set()
        assert _offered(page) == ["dark", "red"]
