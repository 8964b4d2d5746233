"""The page in a real browser: what a user does, and what is on the screen then."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stylemap
from stylemap import assets
from stylemap.editor.studio import Studio
from tests.editor import serving
from tests.editor.browser import EditorPage
from tests.editor.serving import photo_file
from tests.helpers import tiny

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def test_painting_changes_what_is_under_the_brush(page: EditorPage, smiling: Studio) -> None:
    page.photo(2, "original")
    before = page.image()
    page.do("stylemap.editor.setBrush({ radius: 6, hardness: 1 })")
    page.stroke(*CHEEKS)
    after, mask = page.image(), page.mask()
    changed = abs(after - before).mean(-1)
    # LayerNorm's statistics are those of the whole picture, and convolutions reach beyond the border: the
    # rest of the picture changes a little.
    inside, outside = mask > 200, mask == 0
    assert inside.sum() > 100
    assert changed[inside].mean() > 2 * changed[outside].mean()
    # Both sides drew the same bits.
    client = next(c for c in smiling.clients if c.id == page.do("stylemap.link.session"))
    assert (client.mask(1) == mask).all()


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """A server of the model that ships with the package."""
    path = assets.demo_model()
    if path is None:
        pytest.skip("this copy of the package bundles no model")
    studio = serving.studio(model=stylemap.load(path), name="demo")
    with serving.running(studio) as address:
        yield address


def test_the_demo_model_changes_little_outside(browser: Any, demo: str) -> None:
    with EditorPage(browser, demo) as page:
        page.photo(2, "original")
        page.photo(5, "reference")
        before = page.image()
        page.stroke((0.35, 0.5), (0.65, 0.5), (0.35, 0.6), (0.65, 0.6))
        number = page.do("stylemap.editor.active")
        mask = torch.from_numpy(page.mask(number) > 0)
        changed = abs(page.image() - before).mean(-1)
        # Not the border, which the convolutions blur across: what lies 12 pixels away or more.
        near = torch.nn.functional.max_pool2d(mask[None].float(), 25, 1, 12)[0].bool().numpy()
        assert changed[mask.numpy()].mean() > 8
        assert changed[~near].mean() < 0.15 * changed[mask.numpy()].mean()
        assert changed[~near].mean() < 3


def test_undo_redo_clear_and_erase(page: EditorPage) -> None:
    blank = page.image()
    page.stroke(*CHEEKS)
    painted = page.image()
    assert (blank != painted).any()
    page.page.keyboard.press("Control+z")
    page.settle()
    assert (page.image() == blank).all()
    page.page.click("#redo")
    page.settle()
    assert (page.image() == painted).all()
    page.page.keyboard.press("e")
    page.do("stylemap.editor.setBrush({ radius: 16, hardness: 1 })")
    page.stroke((0.0, 0.6), (1.0, 0.6))
    assert (page.image() == blank).all()
    page.page.click("#undo")
    page.page.click("#clear")
    page.settle()
    assert (page.image() == blank).all()
    assert not page.mask().any()


def test_moving_a_part(page: EditorPage) -> None:
    page.stroke(*CHEEKS, pane="#reference")
    before = page.image()
    page.page.click("[data-tool=move]")
    page.stroke((0.5, 0.5), (0.75, 0.5))
    size = page.do("stylemap.editor.size")
    assert page.do("stylemap.editor.reference().shift") == [size // 4, 0]
    assert (page.image() != before).any()
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Shift+ArrowDown")
    page.settle()
    assert page.do("stylemap.editor.reference().shift") == [size // 4 - 1, 8]
    for _ in range(3):
        page.page.keyboard.press("Control+z")
    page.settle()
    assert (page.image() == before).all()


def test_sliders_weight_and_mixing(page: EditorPage) -> None:
    start = page.image()
    page.slide("#slider-100", 1.0)
    smile = page.image()
    assert abs(smile - start).mean() > 1
    page.slide("#weight", 0)
    assert (page.image() == start).all()
    page.slide("#weight", 100)
    # The second one acts where it is painted only.
    page.page.click(".slider-row:nth-child(2) .icon-button")
    page.slide("#slider-101", 2.0)
    assert (page.image() == smile).all()
    page.do("stylemap.editor.setBrush({ radius: 3, hardness: 1 })")
    page.stroke((0.2, 0.2), (0.3, 0.2))
    assert (page.image() != smile).any()
    page.page.click("#sliders-reset")
    page.settle()
    assert (page.image() == start).all()
    page.photo(5, "mix")
    mixed = page.image()
    page.page.click("#mix-presets button:nth-child(1)")
    page.settle()
    assert (page.image() != mixed).any()


def test_references_are_added_ordered_switched_and_removed(page: EditorPage) -> None:
    for number in range(3, 10):
        page.photo(number, "reference")
    rows = page.page.locator("#layers .layer")
    assert rows.count() == 8
    page.page.locator("#photos-list .tile > button:first-child").nth(11).click()
    page.page.wait_for_selector("#toasts :text('At most 8')")
    assert rows.count() == 8
    masks = page.do("stylemap.editor.scene.references.map((one) => one.mask)")
    rows.nth(0).get_by_label("above").click()
    assert page.do("stylemap.editor.scene.references.map((one) => one.mask)") == [2, 1, *masks[2:]]
    page.page.keyboard.press("1")
    assert page.do("stylemap.editor.active") == 2
    blank = page.image()
    page.stroke(*CHEEKS)
    painted = page.image()
    rows.nth(0).locator(".layer-eye").click()
    page.settle()
    assert (page.image() == blank).all()
    rows.nth(0).get_by_label("Remove").click()
    assert rows.count() == 7
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+z")
    page.settle()
    assert (page.image() == painted).all()


def test_upload_download_and_open_again(page: EditorPage, tmp_path: Path) -> None:
    photo = tmp_path / "me.jpg"
    photo.write_bytes(photo_file(300, 200, "JPEG", seed=3))
    page.page.click("#use button[value=original]")
    page.page.set_input_files("#upload", photo)
    page.page.wait_for_selector("#crop[open]")
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.jpg']")
    page.settle()
    page.stroke(*CHEEKS)
    shown = page.image()

    page.choose_square()
    png = np.asarray(Image.open(io.BytesIO(page.download("#save-png"))).convert("RGB"))
    assert (png == shown).all()
    gif = Image.open(io.BytesIO(page.download("#save-gif")))
    assert (gif.format, gif.size, gif.n_frames) == ("GIF", (tiny.SIZE, tiny.SIZE), 22)
    project = page.download("#save-project")
    content = json.loads(project)
    assert content["format"] == "stylemap-project"

    file = tmp_path / "project.stylemap"
    file.write_bytes(project)
    page.page.click("#new")
    page.settle()
    assert (page.image() != shown).any()
    page.page.set_input_files("#open", file)
    page.page.wait_for_selector("#photos-list .tile.is-original button[title='me.jpg']")
    page.settle()
    assert (page.image() == shown).all()

    file.write_text("{}")
    page.page.set_input_files("#open", file)
    page.page.wait_for_selector("#toasts .error")


def test_photos_are_dropped_onto_the_page(page: EditorPage) -> None:
    drop = """(bytes) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
        files.items.add(new File(["no photo"], "notes.txt", { type: "text/plain" }));
        dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    }"""
    page.do(drop, list(photo_file()))
    page.page.wait_for_selector("#crop[open]")
    page.page.locator("#crop-turn").press("ArrowRight")
    page.page.click("#crop-quarter")
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list button[title='dropped.png']")
    page.page.wait_for_selector("#toasts :text('notes.txt is not')")


def test_comparing_shows_the_original_on_the_left(page: EditorPage) -> None:
    page.stroke((0.2, 0.5), (0.8, 0.5))
    page.page.keyboard.press("m")
    page.page.keyboard.press("c")
    handle = page.page.locator("#split")
    assert handle.get_attribute("aria-valuenow") == "50"
    handle.press("End")
    whole = _screen(page)
    handle.press("Home")
    edited = _screen(page)
    for _ in range(25):
        handle.press("ArrowRight")
    half = _screen(page)
    middle = half.shape[1] // 2
    assert abs(half[:, : middle - 3] - whole[:, : middle - 3]).max() <= 2
    assert abs(half[:, middle + 3 :] - edited[:, middle + 3 :]).max() <= 2
    assert abs(whole - edited).mean() > 3


def _screen(page: EditorPage) -> np.ndarray:
    """The pixels of the big canvas."""
    page.do("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    url = page.do("document.querySelector('#result').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)


def test_a_random_face_becomes_the_original(page: EditorPage) -> None:
    page.page.click("#use button[value=original]")
    page.page.keyboard.press("r")
    page.page.wait_for_selector("#photos-list .tile.is-original button[title^=Random]")
    page.settle()
    original = page.do("stylemap.editor.scene.original")
    answer = page.page.request.get(f"{page.page.url}api/images/{original}")
    shown = np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB"))
    assert (page.image() == shown).all()


def test_frames_play(page: EditorPage) -> None:
    page.stroke(*CHEEKS)
    page.page.wait_for_selector("#frames li:nth-child(9)")
    page.page.click("#play")
    page.page.wait_for_function("() => stylemap.stage.playing?.rect[0] > 0")
    page.page.click("#play")
    assert page.do("stylemap.stage.playing") is None
    page.page.click("#frames li:nth-child(5) button")
    assert page.do("stylemap.editor.scene.weight") == 0.5
    assert page.page.get_attribute("#frames li:nth-child(5) button", "aria-pressed") == "true"


def test_two_users(browser: Any, page: EditorPage, place: str) -> None:
    with EditorPage(browser, place) as other:
        other.photo(4, "original")
        theirs = other.image()
        page.stroke(*CHEEKS)
        other.page.wait_for_timeout(100)
        assert (other.image() == theirs).all()
        assert (page.image() != theirs).any()


def test_the_page_goes_on_after_the_server_was_away(browser: Any) -> None:
    studio = serving.studio()
    with serving.running(studio) as address, EditorPage(browser, address) as page:
        page.stroke(*CHEEKS)
        painted = page.image()
        for client in studio.clients:  # as when a session made room for another
            loop = client.connection._loop
            loop.call_soon_threadsafe(studio.clients.remove, client, "the test wants it")
        page.page.wait_for_function("() => !stylemap.link.live")
        page.page.wait_for_function("() => stylemap.link.live")
        end = time.monotonic() + 15
        while (page.image() != painted).any():
            assert time.monotonic() < end
            page.page.wait_for_timeout(50)
        page.errors.clear()  # what was asked of the old session
