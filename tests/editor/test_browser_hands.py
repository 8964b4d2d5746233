"""What hands do on the picture: zoom, move, erase, draw lines and shapes, paint by keys."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylemap.data.faces import Part
from stylemap.editor.studio import Studio
from tests.editor.browser import EditorPage

CHEEKS = (0.3, 0.6), (0.7, 0.6)
SIZE = 32


def _hard(page: EditorPage, radius: float) -> None:
    page.do("(radius) => stylemap.editor.setBrush({ radius, hardness: 1 })", radius)


def _place(page: EditorPage, x: float, y: float) -> tuple[float, float]:
    box: dict[str, Any] = page.page.locator("#result").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_zooming_and_moving_the_picture(page: EditorPage) -> None:
    view = "(({ zoom, x, y }) => ({ zoom, x, y }))(stylemap.stage.view)"
    page.page.mouse.move(*_place(page, 0.75, 0.75))
    page.page.mouse.wheel(0, -462)  # twice as large
    page.page.wait_for_function("() => stylemap.stage.view.zoom > 1.9")
    found = page.do(view)
    assert abs(found["zoom"] - 2) < 0.01
    assert abs(found["x"] + 0.75 / found["zoom"] - 0.75) < 0.01  # what was under the pointer still is
    # A stroke lands where it is seen.
    _hard(page, 2)
    page.stroke((0.5, 0.5), (0.5, 0.5))
    rows, columns = np.nonzero(page.mask() > 127)
    assert abs(columns.mean() + 0.5 - SIZE * (found["x"] + 0.25)) < 0.6
    assert abs(rows.mean() + 0.5 - SIZE * (found["y"] + 0.25)) < 0.6
    # Space and a drag move it, and nothing plays.
    page.page.keyboard.down("Space")
    page.page.mouse.move(*_place(page, 0.5, 0.5))
    page.page.mouse.down()
    page.page.mouse.move(*_place(page, 0.7, 0.5), steps=3)
    page.page.mouse.up()
    page.page.keyboard.up("Space")
    moved = page.do(view)
    assert abs(found["x"] - moved["x"] - 0.1) < 0.02
    assert page.do("stylemap.timeline.player") is None
    page.page.keyboard.press("0")
    assert page.do(view) == {"zoom": 1, "x": 0, "y": 0}
    page.page.keyboard.press("9")
    assert page.do("stylemap.stage.view.zoom * document.querySelector('#result').width") == SIZE


def test_keys_change_the_size_of_the_brush(page: EditorPage) -> None:
    radius = "stylemap.editor.brush.radius"
    before = page.do(radius)
    page.page.keyboard.press("]")
    assert page.do(radius) == pytest.approx(1.15 * before)
    page.page.keyboard.press("[")
    page.page.keyboard.press("[")
    assert page.do(radius) == pytest.approx(before / 1.15)
    for key, limit in (("[", 1), ("]", SIZE / 2)):
        for _ in range(40):
            page.page.keyboard.press(key)
        assert page.do(radius) == limit
    assert not page.mask().any()


def test_two_fingers_move_the_picture(page: EditorPage) -> None:
    page.do("stylemap.stage.view.zoomBy(2, 0.5, 0.5)")
    view = "(({ zoom, x, y }) => [zoom, x, y])(stylemap.stage.view)"
    zoom, x, y = page.do(view)
    page.do(
        """() => {
            const canvas = document.querySelector("#result"), box = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};
            const send = (name, id, x, y) => canvas.dispatchEvent(new PointerEvent(name, {
                pointerType: "touch", pointerId: id, button: 0, bubbles: true, cancelable: true,
                clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
            send("pointerdown", 1, 0.4, 0.4);
            send("pointerdown", 2, 0.6, 0.4);
            for (const step of [1, 2, 3]) {
                send("pointermove", 1, 0.4 + 0.1 * step / 3, 0.4 - 0.2 * step / 3);
                send("pointermove", 2, 0.6 + 0.1 * step / 3, 0.4 - 0.2 * step / 3);
            }
            send("pointerup", 1, 0.5, 0.2);
            send("pointermove", 2, 0.2, 0.2);
            send("pointerup", 2, 0.2, 0.2);
        }"""
    )
    page.settle()
    assert page.do(view) == pytest.approx([zoom, x - 0.1 / zoom, y + 0.2 / zoom], abs=1e-3)
    assert not page.mask().any()  # and nothing is painted, not by the finger that stays either
    assert page.do("stylemap.editor.past.length") == 0


def test_modifiers_of_the_brush(page: EditorPage) -> None:
    _hard(page, 2)
    page.stroke((0.2, 0.2), (0.2, 0.2))
    page.page.keyboard.down("Shift")
    page.stroke((0.8, 0.2), (0.8, 0.2))  # a line from there to here
    page.page.keyboard.up("Shift")
    assert (page.mask()[6, 7:26] > 127).all()
    page.page.keyboard.down("Alt")
    page.stroke((0.5, 0.2), (0.5, 0.2))
    page.page.keyboard.up("Alt")
    mask = page.mask()
    assert not mask[6, 16]
    assert mask[6, 7]
    assert page.do("stylemap.editor.tool") == "brush"
    # The right button makes the brush larger and paints nothing.
    page.page.mouse.move(*_place(page, 0.5, 0.8))
    page.page.mouse.down(button="right")
    page.page.mouse.move(*_place(page, 0.8, 0.8), steps=3)
    page.page.mouse.up(button="right")
    assert page.do("stylemap.editor.brush.radius") > 2.5
    assert (page.mask() == mask).all()


def test_a_held_key_shows_the_original(page: EditorPage) -> None:
    page.stroke(*CHEEKS)
    page.page.keyboard.down("o")
    assert page.do("stylemap.editor.peek")
    page.page.keyboard.up("o")
    assert not page.do("stylemap.editor.peek")


def test_a_pen_presses(page: EditorPage) -> None:
    _hard(page, 8)
    page.do(
        """() => {
            const canvas = document.querySelector("#result"), box = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};
            const send = (name, x, pressure) => canvas.dispatchEvent(new PointerEvent(name, {
                pointerType: "pen", pointerId: 7, pressure, button: 0, bubbles: true, cancelable: true,
                clientX: box.left + x * box.width, clientY: box.top + 0.5 * box.height }));
            send("pointerdown", 0.1, 0.25);
            send("pointermove", 0.45, 0.25);
            send("pointermove", 0.5, 1);
            send("pointermove", 0.9, 1);
            send("pointerup", 0.9, 0);
        }"""
    )
    page.settle()
    height = (page.mask() > 127).sum(0)
    assert 3 <= height[4] <= 5
    assert height[24] >= 15


def test_a_pen_presses_for_hardness(page: EditorPage) -> None:
    _hard(page, 8)
    page.page.click("#mask-more")
    page.page.click("#pen button[value=hardness]")
    page.page.keyboard.press("Escape")
    assert page.page.get_attribute("#pen button[value=hardness]", "aria-pressed") == "true"
    page.do(
        """() => {
            const { editor } = stylemap;
            editor.beginStroke();
            editor.extendStroke([16, 16], performance.now(), 0.25);
            editor.endStroke();
        }"""
    )
    page.settle()
    mask = page.mask()
    # As wide as without, but soft: 255 in the middle alone, half of it on the way to the border.
    assert mask[16, 16] > 250
    assert 60 < mask[16, 21] < 200
    assert mask[16, 23] > 0


def test_the_opacity_of_a_reference(page: EditorPage) -> None:
    blank = page.image()
    page.stroke(*CHEEKS)
    full = page.image()
    page.slide(".layer.is-active .layer-opacity input", 50)
    half = page.image()
    assert page.do("stylemap.editor.reference().opacity") == 0.5
    assert 0 < abs(half - blank).mean() < abs(full - blank).mean()
    page.slide(".layer.is-active .layer-opacity input", 0)
    assert (page.image() == blank).all()
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+z")
    page.settle()
    assert abs(page.image() - full).max() <= 1
    assert page.page.locator(".layer.is-active output").inner_text() == "100%"


def test_the_parts_of_a_drawn_face_are_masks(page: EditorPage, smiling: Studio) -> None:
    page.page.click("#mask-more")
    page.page.click("#mask-parts button[value=hair]")
    parts = smiling.gallery.parts("g1")  # of the reference, whose mask it is
    assert parts is not None
    assert (page.mask() == 255 * (parts == Part.HAIR)).all()
    page.page.click("#mask-parts button[value=skin]")
    assert (page.mask() == 255 * ((parts == Part.HAIR) | (parts == Part.SKIN))).all()
    page.page.click("#mask-parts button[value=hair]", modifiers=["Alt"])
    assert (page.mask() == 255 * (parts == Part.SKIN)).all()
    page.page.keyboard.press("Escape")
    # A slider's mask lies over the original.
    page.page.click(".slider-row:nth-child(1) .icon-button")
    page.page.click("#mask-more")
    page.page.click("#mask-parts button[value=skin]")
    parts = smiling.gallery.parts("g0")
    assert (page.mask(100) == 255 * (parts == Part.SKIN)).all()
    page.settle()


def test_unknown_parts_are_said_to_be(page: EditorPage) -> None:
    page.page.click("#random")
    page.page.wait_for_function("() => stylemap.editor.scene.references.length === 2")
    page.page.click("#mask-more")
    page.page.wait_for_selector("#mask-parts-hint:text('Not known')")
    assert page.page.locator("#mask-parts button").count() == 0
    page.settle()
    page.errors.clear()  # of the request that was refused


def test_lasso_and_rectangle(page: EditorPage) -> None:
    before = page.image()
    page.page.click("[data-tool=rectangle]")
    page.stroke((0.25, 0.25), (0.75, 0.5))
    mask = page.mask()
    assert (mask[8:16, 8:24] == 255).all()
    assert mask.sum() == 255 * 8 * 16
    assert (page.image() != before).any()
    page.page.keyboard.down("Alt")
    page.stroke((0.25, 0.25), (0.5, 0.5))
    page.page.keyboard.up("Alt")
    assert not page.mask()[8:16, 8:16].any()
    page.page.keyboard.press("l")
    page.stroke((0.1, 0.6), (0.9, 0.6), (0.9, 0.9), (0.1, 0.9))
    assert (page.mask()[21:27, 5:27] == 255).all()
    page.page.keyboard.press("Control+z")
    page.page.keyboard.press("Control+z")
    page.settle()
    assert (page.mask() == mask).all()


def test_masks_are_inverted_feathered_exported_and_imported(page: EditorPage, tmp_path: Path) -> None:
    page.page.click("[data-tool=rectangle]")
    page.stroke((0.25, 0.25), (0.75, 0.75))
    mask = page.mask()
    page.page.keyboard.press("i")
    assert (page.mask() == 255 - mask).all()
    page.page.keyboard.press("i")
    page.page.click("#mask-more")
    page.page.click("#mask-feather")
    soft = page.mask()
    assert 0 < soft[16, 8] < 255
    assert soft[16, 16] == 255
    assert abs(int(soft.sum()) - int(mask.sum())) < 0.02 * mask.sum()
    page.page.click("#mask-more")
    with page.page.expect_download() as download:
        page.page.click("#mask-export")
    file = tmp_path / "mask.png"
    download.value.save_as(file)
    assert (np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("L")) == soft).all()
    page.page.click("#clear")
    page.page.set_input_files("#mask-file", file)
    page.page.wait_for_function("() => !stylemap.editor.masks.isEmpty(1)")
    assert (page.mask() == soft).all()


def test_the_history_is_a_list(page: EditorPage) -> None:
    page.page.click("#history-panel summary")
    start = page.image()
    page.stroke(*CHEEKS)
    painted = page.image()
    page.slide("#slider-100", 1.0)
    assert page.page.locator("#history li").all_inner_texts() == ["Start", "Mask", "Attributes"]
    page.page.click("#history li:nth-child(1) button")
    page.settle()
    assert (page.image() == start).all()
    page.page.click("#history li:nth-child(2) button")
    page.settle()
    assert (page.image() == painted).all()
    assert page.page.locator("#history [aria-current]").inner_text() == "Mask"


def test_the_move_tool_takes_the_part_under_it(page: EditorPage) -> None:
    _hard(page, 4)
    page.stroke((0.25, 0.25), (0.25, 0.25))
    page.photo(4, "reference")
    page.stroke((0.75, 0.75), (0.75, 0.75))
    page.page.keyboard.press("v")
    page.stroke((0.25, 0.25), (0.5, 0.25))
    shifts = page.do("stylemap.editor.scene.references.map((one) => one.shift)")
    assert shifts == [[8, 0], [0, 0]]


def test_painting_by_keys(page: EditorPage) -> None:
    _hard(page, 3)
    page.page.mouse.move(2, 2)  # the brush is nowhere: keys begin in the middle
    page.page.focus("#result")
    page.page.keyboard.press("Enter")
    assert page.mask()[16, 16] == 255
    for _ in range(4):
        page.page.keyboard.press("Shift+ArrowRight")
    assert (page.mask()[16, 14:22] == 255).all()
    for _ in range(3):
        page.page.keyboard.press("ArrowUp")
    assert not page.mask()[8].any()
    page.settle()


def test_a_pasted_picture_is_a_photo(page: EditorPage) -> None:
    page.do(
        """async () => {
            const canvas = new OffscreenCanvas(40, 40);
            canvas.getContext("2d").fillRect(0, 0, 40, 40);
            const clipboardData = new DataTransfer();
            const bytes = await canvas.convertToBlob();
            clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    page.page.click("#crop button[value=add]")
    page.page.wait_for_selector("#photos-list button[title='pasted.png']")


def test_the_picture_is_copied(page: EditorPage) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.stroke(*CHEEKS)
    page.page.keyboard.press("Control+c")
    page.page.wait_for_selector("#toasts :text('clipboard')")
    types = page.do("navigator.clipboard.read().then((items) => items.flatMap((item) => item.types))")
    assert types == ["image/png"]
