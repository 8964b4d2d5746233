"""The page in a real browser: how it looks at any width, light and dark."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.editor.browser import EditorPage

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def test_the_theme_is_remembered(page: EditorPage) -> None:
    assert page.do("document.documentElement.dataset.theme") == "light"
    page.page.click("#theme")
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]")
    assert page.do("document.documentElement.dataset.theme") == "dark"


def test_touch_on_a_phone(browser: Any, place: str) -> None:
    options = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    with EditorPage(browser, place, **options) as page:
        assert page.do("document.documentElement.scrollWidth <= innerWidth")
        before = page.image()
        box = page.page.locator("#result").bounding_box()
        touch = page.context.new_cdp_session(page.page)
        points = [(0.3 + 0.04 * step, 0.5) for step in range(10)]
        for index, (x, y) in enumerate(points):
            kind = "touchMove" if index else "touchStart"
            spot = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [spot]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.page.wait_for_function("() => !stylemap.editor.masks.isEmpty(1) && !stylemap.editor.stroke")
        page.settle()
        assert (page.image() != before).any()
        for tab, shown in (("references", "#layers"), ("adjust", "#sliders"), ("frames", "#timeline")):
            page.page.click(f"#tabs button[value={tab}]")
            assert page.page.is_visible(shown)
            assert not page.page.is_visible("#photos")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 900, 390])
def test_structure_of_the_page(browser: Any, place: str, width: int, scheme: str) -> None:
    """Not pixels but what must hold at any width: nothing overlaps or overflows, the ground is light or dark
    as asked, everything that can be used has a name."""
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with EditorPage(browser, place, **options) as page:
        assert page.do("document.documentElement.scrollWidth <= innerWidth")
        boxes = {
            name: page.page.locator(name).bounding_box()
            for name in ("#top", "#result", "#toolbar", "#photos")
        }
        for one, other in (
            ("#top", "#result"),
            ("#result", "#toolbar"),
            ("#photos", "#toolbar"),
            ("#photos", "#result"),
        ):
            assert not _overlap(boxes[one], boxes[other]), (one, other)
        box = boxes["#result"]
        assert box["width"] == pytest.approx(box["height"], abs=1)
        assert box["width"] > 300
        screen = np.asarray(Image.open(io.BytesIO(page.page.screenshot())).convert("L")).astype(int)
        ground = screen[int(boxes["#top"]["height"]) - 3, 3]
        assert ground > 200 if scheme == "light" else ground < 60
        assert screen[: int(boxes["#top"]["height"])].std() > 5  # something is written there
        nameless = page.do(
            """() => [...document.querySelectorAll("button, input, select, [role=slider]")]
                .filter((one) => one.checkVisibility())
                .filter((one) => !one.getAttribute("aria-label") && !one.textContent.trim())
                .filter((one) => !one.labels?.length)
                .map((one) => one.outerHTML)"""
        )
        assert nameless == []
        order = page.do(
            "[...document.querySelectorAll('[tabindex]')].filter((one) => one.tabIndex > 0).length"
        )
        assert order == 0  # the focus goes as the page is read


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844), (1280, 600)])
def test_the_help_opens_at_its_top(browser: Any, place: str, width: int, height: int) -> None:
    with EditorPage(browser, place, viewport={"width": width, "height": height}) as page:
        page.page.click("#help-button")
        page.page.wait_for_selector("#help[open]")
        assert page.do("document.querySelector('#help').scrollTop") == 0
        box = page.page.locator("#help").bounding_box()
        for part in ("#help-title", "#help .dialog-actions .primary"):
            inner = page.page.locator(part).bounding_box()
            assert box["y"] < inner["y"]
            assert inner["y"] + inner["height"] < box["y"] + box["height"]


def test_frames_lie_in_the_middle_of_their_bar(browser: Any, place: str) -> None:
    with EditorPage(browser, place, viewport={"width": 1024, "height": 768}) as page:
        page.page.wait_for_selector("#frames .frame")
        parts = "#timeline", "#frames .frame"
        bar, frame = (page.page.locator(name).first.bounding_box() for name in parts)
        middle = frame["y"] + frame["height"] / 2
        assert middle == pytest.approx(bar["y"] + bar["height"] / 2, abs=2)


def _overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    return (
        min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"]) > 1
        and min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"]) > 1
    )
