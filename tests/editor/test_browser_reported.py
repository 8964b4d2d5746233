"""What people reported about the page, each as they met it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file

CHEEKS = (0.3, 0.6), (0.7, 0.6)
SCREENS = [(1440, 900), (1366, 640), (1280, 600), (1024, 768), (960, 600), (800, 1100), (390, 844)]


def _playing(page: EditorPage) -> bool:
    return bool(page.do("stylemap.timeline.player !== null"))


def test_space_plays_whatever_was_clicked_before(page: EditorPage) -> None:
    page.photo(3, "reference")
    page.page.wait_for_selector("#frames li")
    for click in ("#photos-list .tile:nth-child(1) > button", "#masks", "#layers .layer-main", "#result"):
        page.page.click(click)
        page.settle()
        references = page.do("stylemap.editor.scene.references.length")
        page.page.keyboard.press("Space")
        page.page.wait_for_function("() => stylemap.timeline.player !== null")
        page.page.keyboard.press("Space")
        page.page.wait_for_function("() => stylemap.timeline.player === null")
        assert page.do("stylemap.editor.scene.references.length") == references


def test_space_presses_the_button_that_the_keyboard_came_to(page: EditorPage) -> None:
    page.page.focus("#masks")
    page.page.keyboard.press("Space")
    assert not page.do("stylemap.editor.showMasks")
    assert not _playing(page)


@pytest.mark.parametrize("first_visit", [False, True])
@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_everything_is_on_the_screen(
    browser: Any, place: str, width: int, height: int, first_visit: bool
) -> None:
    options = {"viewport": {"width": width, "height": height}, "first_visit": first_visit}
    with EditorPage(browser, place, **options) as page:
        assert page.do("document.documentElement.scrollWidth <= innerWidth")
        names = ["#top", "#result", "#toolbar"]
        if width > 760:
            names += ["#original-pane", "#reference", "#timeline"]
        boxes = {name: page.page.locator(name).bounding_box() for name in names}
        for name, box in boxes.items():
            assert box["x"] >= 0, name
            assert box["y"] >= 0, name
            assert box["x"] + box["width"] <= width, name
            assert box["y"] + box["height"] <= height, name
        for one in names:
            for other in names[names.index(one) + 1 :]:
                assert not _overlap(boxes[one], boxes[other]), (one, other)
        # Every panel is there, or behind a tab that is.
        for tab, panel in (("photos", "#photos"), ("references", "#layers"), ("adjust", "#sliders")):
            if not page.page.is_visible(panel):
                page.page.click(f"#tabs button[value={tab}]")
            box = page.page.locator(panel).bounding_box()
            assert box["y"] < height - 40, panel


def _overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    return (
        min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"]) > 1
        and min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"]) > 1
    )


@pytest.mark.parametrize("scale", [0.8, 1.5])
def test_a_stroke_lands_where_it_is_painted_at_any_scale(browser: Any, place: str, scale: float) -> None:
    with EditorPage(browser, place, device_scale_factor=scale) as page:
        page.do("stylemap.editor.setBrush({ radius: 3, hardness: 1 })")
        page.stroke((0.25, 0.25), (0.25, 0.25))
        rows, columns = np.nonzero(page.mask() > 127)
        assert abs(rows.mean() + 0.5 - 8) < 0.6
        assert abs(columns.mean() + 0.5 - 8) < 0.6


def test_a_mask_that_left_the_scene_takes_no_strokes(page: EditorPage) -> None:
    page.page.click(".slider-row:nth-child(1) .icon-button")
    assert page.do("stylemap.editor.active") == 100
    page.page.click("#sliders-reset")
    assert page.do("stylemap.editor.active") == 1
    page.stroke(*CHEEKS)
    assert page.mask(1).any()
    # Of a reference too, and by any way out: here the scene is replaced.
    page.do("stylemap.editor.update({ references: [] })")
    assert page.do("stylemap.editor.active") is None
    page.do("stylemap.editor.addEventListener('hint', () => (window.hinted = true))")
    page.stroke(*CHEEKS)
    assert page.do("window.hinted")


def _touch(page: EditorPage, kind: str, *points: tuple[float, float]) -> None:
    box = page.page.locator("#result").bounding_box()
    places = [
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
        for number, (x, y) in enumerate(points)
    ]
    page.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


def test_two_fingers_zoom_and_do_not_paint(browser: Any, place: str) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with EditorPage(browser, place, **options) as page:
        page.touch = page.context.new_cdp_session(page.page)
        before = page.image()
        _touch(page, "touchStart", (0.4, 0.5))
        _touch(page, "touchMove", (0.42, 0.5))
        _touch(page, "touchStart", (0.42, 0.5), (0.6, 0.5))
        for step in range(1, 6):
            _touch(page, "touchMove", (0.42 - 0.04 * step, 0.5), (0.6 + 0.04 * step, 0.5))
        _touch(page, "touchEnd", (0.22, 0.5))
        _touch(page, "touchMove", (0.3, 0.7))
        _touch(page, "touchEnd")
        page.settle()
        assert page.do("stylemap.stage.view.zoom") > 1.8
        assert not page.mask().any()
        assert not page.do("stylemap.editor.past.length")
        assert (page.image() == before).all()


def test_toasts_leave_the_tools_free(page: EditorPage) -> None:
    page.do("stylemap.link.dispatchEvent(new CustomEvent('notice', { detail: 'one' }))")
    page.do("stylemap.link.dispatchEvent(new CustomEvent('notice', { detail: 'two' }))")
    toasts = page.page.locator("#toasts").bounding_box()
    for name in ("#top", "#toolbar", "#timeline", "#photos", "#side"):
        assert not _overlap(toasts, page.page.locator(name).bounding_box()), name


def test_mixing_is_asked_for_each_time(page: EditorPage, tmp_path: Path) -> None:
    page.photo(5, "mix")
    assert page.page.get_attribute("#use button[value=reference]", "aria-pressed") == "true"
    mix = page.do("stylemap.editor.scene.mix")
    photo = tmp_path / "me.png"
    photo.write_bytes(photo_file())
    page.page.set_input_files("#upload", photo)
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#layers :text('me.png')")
    assert page.do("stylemap.editor.scene.mix") == mix


def test_help_is_there_on_a_phone(browser: Any, place: str) -> None:
    with EditorPage(browser, place, viewport={"width": 390, "height": 844}) as page:
        page.page.click("#help-button")
        page.page.wait_for_selector("#help[open]")


def test_a_sliders_mask_is_shown_as_the_cells_it_moves(page: EditorPage) -> None:
    page.page.click(".slider-row:nth-child(1) .icon-button")
    page.do("stylemap.editor.setBrush({ radius: 1, hardness: 1 })")
    page.stroke((0.3, 0.3), (0.3, 0.3))
    cells = np.array(page.do("[...stylemap.editor.masks.cells(100, 8)]")).reshape(8, 8)
    mask = page.mask(100)
    assert (cells == mask.reshape(8, 4, 8, 4).max((1, 3))).all()
    # The far corner of a painted cell lies outside the brush and is marked; the next cell but one is not.
    rows, columns = np.nonzero(cells)
    marked = _pixel(page, 4 * columns.max() + 3.3, 4 * rows.max() + 3.3)
    page.do("stylemap.editor.set({ showMasks: false })")
    assert np.abs(marked - _pixel(page, 4 * columns.max() + 3.3, 4 * rows.max() + 3.3)).max() > 12


def _pixel(page: EditorPage, x: float, y: float) -> np.ndarray:
    """The big canvas at a place in pixels of the picture."""
    return np.array(
        page.do(
            """([x, y]) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
                const canvas = document.querySelector("#result");
                const side = canvas.width / stylemap.editor.size;
                done([...canvas.getContext("2d").getImageData(x * side, y * side, 1, 1).data]);
            })))""",
            [x, y],
        ),
        int,
    )


def _violations(page: EditorPage) -> dict[str, list[str]]:
    rules = {"label-content-name-mismatch": {"enabled": True}}
    found = page.do("(rules) => axe.run(document, { rules })", rules)
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found["violations"]}


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_axe_finds_nothing(browser: Any, place: str, width: int, height: int) -> None:
    # The bundled script alone: the package's own runner would wait for a frame of its own.
    import axe_playwright_python

    source = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    scheme = "light" if width % 20 else "dark"  # some sizes in each
    options = {"viewport": {"width": width, "height": height}, "bypass_csp": True, "color_scheme": scheme}
    with EditorPage(browser, place, first_visit=True, **options) as page:
        page.photo(3, "mix")
        page.do("document.querySelectorAll('.notice').forEach((one) => (one.hidden = false))")
        page.page.add_script_tag(path=source)
        assert _violations(page) == {}
        page.page.click("#mask-more")
        page.page.wait_for_selector("#mask-parts button")
        assert _violations(page) == {}
        page.page.keyboard.press("Escape")
        page.page.click("#download")
        page.page.click("#batch-open")
        assert _violations(page) == {}
        page.page.keyboard.press("Escape")
        assert page.page.locator("h1").count() == 1
