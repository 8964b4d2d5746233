"""Nothing is lost: a reload, a server that forgot, a connection that broke, a tab that is closed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylemap.model import StyleMapGAN
from tests.editor import serving
from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file
from tests.helpers import tiny

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def _work(page: EditorPage, tmp_path: Path) -> np.ndarray:
    """An edit with something of everything: an upload, a random face, a slider, a painted slider."""
    photo = tmp_path / "me.png"
    photo.write_bytes(photo_file(seed=3))
    page.page.click("#use button[value=original]")
    page.page.set_input_files("#upload", photo)
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.png']")
    page.page.click("#use button[value=reference]")
    page.page.click("#random")
    page.page.wait_for_function("() => stylemap.editor.scene.references.length === 2")
    page.stroke(*CHEEKS)
    page.slide("#slider-100", 1.0)
    page.page.click(".slider-row:nth-child(2) .icon-button")
    page.slide("#slider-101", 2.0)
    page.stroke((0.2, 0.2), (0.3, 0.2))
    return page.image()


def _reload(page: EditorPage) -> None:
    page.page.wait_for_function("() => !stylemap.storage.timer && !stylemap.storage.saving")
    page.do("stylemap.storage.load().then(() => null)")  # a read comes after the write that is under way
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]")
    page.settle()


def test_everything_survives_a_reload(page: EditorPage, tmp_path: Path) -> None:
    painted = _work(page, tmp_path)
    masks = [page.mask(number) for number in (1, 2, 101)]
    _reload(page)
    assert (page.image() == painted).all()
    assert all((page.mask(number) == mask).all() for number, mask in zip((1, 2, 101), masks))
    assert page.page.locator("#photos-list .tile-remove").count() == 2
    # A new edit is one click away, and can be taken back.
    page.page.click("#new")
    page.settle()
    assert page.do("stylemap.editor.scene.original") == "g0"
    assert not page.mask(1).any()
    page.page.keyboard.press("Control+z")
    page.settle()
    assert (page.image() == painted).all()


def test_everything_survives_a_server_that_forgot(page: EditorPage, tmp_path: Path) -> None:
    painted = _work(page, tmp_path)
    before = page.do("stylemap.link.session")
    page.page.request.delete(f"{page.page.url}api/sessions/{before}")
    page.page.wait_for_function("(before) => stylemap.link.session !== before", arg=before)
    page.settle()
    assert (page.image() == painted).all()
    # The history knows the photos by their new names too.
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+Shift+z")
    page.page.keyboard.press("Control+Shift+z")
    page.settle()
    assert (page.image() == painted).all()
    page.errors.clear()  # that the session was closed


def _disconnect(page: EditorPage) -> None:
    page.page.route("**/api/**", lambda route: route.abort())
    page.do(
        """() => {
            const { link } = stylemap;
            window.connect = link.connect;
            link.connect = () => {};
            link.socket.close();
        }"""
    )
    page.page.wait_for_selector("#banner:not([hidden])")


def test_strokes_without_a_connection_are_applied_when_it_is_back(page: EditorPage) -> None:
    before = page.image()
    _disconnect(page)
    assert page.page.locator("#banner").count() == 1
    page.page.mouse.move(*_place(page, 0.3, 0.6))
    page.page.mouse.down()
    page.page.mouse.move(*_place(page, 0.7, 0.6), steps=5)
    page.page.mouse.up()
    mask = page.mask()
    assert mask.any()
    # The picture on the screen is not this edit: it is not saved as if it were.
    page.page.click("#download")
    page.page.click("#save-png")
    page.page.wait_for_selector("#toasts :text('no connection')")
    # The project is, whole.
    project = json.loads(page.download("#save-project"))
    assert project["masks"]["1"]
    assert len(project["images"]) == 2
    page.page.unroute("**/api/**")
    page.do("stylemap.link.connect = window.connect; stylemap.link.connect()")
    page.page.wait_for_selector("#banner", state="hidden")
    page.settle()
    assert (page.mask() == mask).all()
    assert (page.image() != before).any()
    page.errors.clear()  # of requests without a connection


def test_the_picture_is_saved_without_a_connection(page: EditorPage) -> None:
    page.stroke(*CHEEKS)
    shown = page.image()
    _disconnect(page)
    png = np.asarray(Image.open(io.BytesIO(page.download("#save-png"))).convert("RGB"))
    assert (png == shown).all()
    page.errors.clear()


def _place(page: EditorPage, x: float, y: float) -> tuple[float, float]:
    box: dict[str, Any] = page.page.locator("#result").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_closing_a_tab_with_unsaved_work_asks(page: EditorPage) -> None:
    # What the browser asks the page before it closes the tab; a dialog is the browser's own.
    leave = """() => {
        const event = new Event("beforeunload", { cancelable: true });
        dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    assert not page.do(leave)
    page.stroke(*CHEEKS)
    assert page.do(leave)
    page.download("#save-project")
    assert not page.do(leave)
    page.stroke((0.5, 0.2), (0.5, 0.3))
    assert page.do(leave)


def test_the_class_of_a_random_face_is_picked_and_kept(browser: Any) -> None:
    torch.manual_seed(3)
    model = StyleMapGAN(tiny.CONFIG, ("plain", "glasses")).eval().requires_grad_(False)
    with serving.running(serving.studio(model=model)) as address, EditorPage(browser, address) as page:
        assert page.page.locator("#class option").all_inner_texts() == ["any class", "plain", "glasses"]
        page.page.select_option("#class", "glasses")
        page.page.click("#random")
        page.page.wait_for_selector("#photos-list button[title^='Glasses']")
        page.settle()
        shown = page.image()
        photos = "stylemap.gallery.own.map((photo) => photo.class_name)"
        assert page.do(photos) == ["glasses"]
        _reload(page)
        assert page.do(photos) == ["glasses"]
        assert (page.image() == shown).all()


def test_there_is_no_choice_of_one_class(page: EditorPage) -> None:
    assert not page.page.locator("#class").is_visible()
